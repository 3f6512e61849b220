"""Who wins, who is named as the origin, and what a person reads when a value cannot be used."""

from __future__ import annotations

import pytest

from devpod_rp.errors import ConfigurationError, ExitCode


def refusal(loaded, environ=None, **flags) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        loaded(environ, **flags)
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    assert caught.value.hint
    return caught.value


# ---- merging --------------------------------------------------------------------------------------------------------
def test_nothing_written_gives_the_pytorch_template_and_a_name_from_the_folder(loaded):
    found = loaded()
    assert found.name == "my-project"
    assert found.cloud is None
    assert found.spec.template == "pytorch"
    assert found.spec.gpu[0] == "RTX 4090"
    assert found.spec.volume.kind == "disk"
    assert found.spec.sync.mode == "one-way-safe"


def test_each_layer_beats_the_ones_below_it(loaded, project, user_config):
    values = {"": 50}
    assert loaded().spec.container_disk_gb == values[""]
    user_config("container_disk_gb = 61\n")
    assert loaded().spec.container_disk_gb == 61
    project("container_disk_gb = 62\n")
    assert loaded().spec.container_disk_gb == 62
    variables = {"DEVPOD_RP_CONTAINER_DISK_GB": "63"}
    assert loaded(variables).spec.container_disk_gb == 63
    assert loaded(variables, container_disk_gb=64).spec.container_disk_gb == 64


def test_every_value_knows_where_it_came_from(loaded, project, user_config):
    config = user_config('\ntier = "any"\n')
    own = project('# mine\ngpu = "L4"\n\n[volume]\nsize_gb = 70\n')
    origins = loaded({"DEVPOD_RP_MAX_PRICE": "1.5"}, image="x:1", container_disk_gb=9).provenance
    assert origins["tier"] == f"{config}:2"
    assert origins["gpu"] == f"{own}:2"
    assert origins["volume.size_gb"] == f"{own}:5"
    assert origins["max_price"] == "DEVPOD_RP_MAX_PRICE"
    assert origins["image"] == "--image"
    assert origins["container_disk_gb"] == "--disk"
    assert origins["min_cuda"].partition(":")[0].endswith("pytorch.toml")


def test_tables_are_merged_key_by_key(loaded, project, user_config):
    user_config('[volume]\nsize_gb = 80\n[env]\nA = "1"\nB = "1"\n')
    project('[volume]\nname = "data"\n[env]\nB = "2"\n')
    spec = loaded(env={"C": "3"}).spec
    assert (spec.volume.kind, spec.volume.size_gb, spec.volume.name) == ("disk", 80, "data")
    assert spec.env == {"A": "1", "B": "2", "C": "3"}


def test_settings_of_vs_code_are_merged_one_by_one_and_never_looked_into(loaded, project, user_config):
    user_config('[settings]\n"editor.tabSize" = 2\n"files.eol" = "\\n"\n')
    path = project('[settings]\n"editor.tabSize" = 4\n[settings."[python]"]\n"editor.formatOnSave" = true\n')
    found = loaded()
    assert found.spec.settings == {
        "editor.tabSize": 4,
        "files.eol": "\n",
        "[python]": {"editor.formatOnSave": True},
    }
    assert found.provenance["settings.editor.tabSize"] == f"{path}:2"


def test_lists_replace_and_may_be_written_as_one_value_or_with_commas(loaded, project):
    project('gpu = "L4"\nports = ["6006/tcp"]\n')
    assert loaded().spec.gpu == ("L4",)
    spec = loaded({"DEVPOD_RP_GPU": "A40, L40S", "DEVPOD_RP_SYNC_IGNORE": "*.ckpt"}).spec
    assert spec.gpu == ("A40", "L40S")
    assert spec.sync.ignore == ("*.ckpt",)


def test_flags_that_were_not_given_say_nothing(loaded, project):
    project('gpu = ["A40"]\nimage = "x:1"\n')
    spec = loaded(gpu=(), image=None, env={}, max_price=None).spec
    assert (spec.gpu, spec.image) == (("A40",), "x:1")


def test_empty_variables_say_nothing(loaded):
    assert loaded({"DEVPOD_RP_IMAGE": "", "DEVPOD_RP_HOME": "/x", "DEVPOD_RP_FUTURE": "y"}).spec.image


def test_the_table_in_pyproject_counts_as_the_projects_file(loaded, folder):
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(
        '[project]\nname = "x"\n\n[tool.devpod-rp]\nname = "box"\n\n[tool.devpod-rp.volume]\nsize_gb = 33\n'
    )
    found = loaded()
    assert (found.name, found.spec.volume.size_gb) == ("box", 33)
    assert found.provenance["name"] == f"{pyproject}:5"
    assert found.provenance["volume.size_gb"] == f"{pyproject}:8"


def test_a_pyproject_without_our_table_is_nothing_to_us(loaded, folder):
    (folder / "pyproject.toml").write_text("tool = 3\n")
    assert loaded().name == "my-project"


def test_two_places_for_one_project_are_refused(loaded, folder, project):
    project("")
    (folder / "pyproject.toml").write_text("[tool.devpod-rp]\n")
    assert "has both devpod-rp.toml and [tool.devpod-rp]" in refusal(loaded).message


@pytest.mark.parametrize("text", ["[tool]\ndevpod-rp = 3\n", "[[tool.devpod-rp]]\n"])
def test_a_table_in_pyproject_that_is_none_is_refused(loaded, folder, text):
    (folder / "pyproject.toml").write_text(text)
    assert "tool.devpod-rp is no table" in refusal(loaded).message


def test_name_and_cloud_come_from_the_files_too(loaded, project):
    project('name = "trainer"\ncloud = "local"\n')
    found = loaded()
    assert (found.name, found.cloud) == ("trainer", "local")
    assert loaded({"DEVPOD_RP_NAME": "other"}).name == "other"


# ---- GPU or CPU -----------------------------------------------------------------------------------------------------
def test_asking_for_a_cpu_drops_what_the_template_says_of_gpus(loaded):
    spec = loaded(cpu="cpu5c", vcpu=4).spec
    assert (spec.cpu, spec.vcpu, spec.gpu, spec.min_cuda) == ("cpu5c", 4, (), None)


def test_asking_for_gpus_drops_what_lower_layers_say_of_cpus(loaded, project):
    project('template = "cpu"\n')
    spec = loaded(gpu=("L4",)).spec
    assert (spec.gpu, spec.cpu, spec.vcpu) == (("L4",), None, 2)
    assert spec.volume.kind == "network"


def test_a_cpu_pod_gets_a_network_volume_where_nobody_said_otherwise(loaded):
    found = loaded(cpu="cpu3c")
    assert found.spec.volume.kind == "network"
    assert found.provenance["volume.kind"] == "CPU pods have no volume disk"


def test_a_volume_disk_asked_for_by_name_is_refused_on_a_cpu_pod(loaded, project):
    own = project('cpu = "cpu3c"\n[volume]\nkind = "disk"\n')
    error = refusal(loaded)
    assert error.message.startswith(f"{own}:3: a CPU pod cannot have a volume disk")


def test_gpu_and_cpu_in_one_file_are_refused_with_the_line(loaded, project):
    own = project('gpu = "L4"\ncpu = "cpu3c"\n')
    assert refusal(loaded).message.startswith(f"{own}:2: gpu and cpu cannot both be asked for")


def test_gpu_and_cpu_as_flags_are_refused(loaded):
    assert refusal(loaded, gpu=("L4",), cpu="cpu3c").message.startswith("--cpu: gpu and cpu")


# ---- what a person reads --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        ('gppu = "L4"\n', 1, "gppu", "did you mean gpu?"),
        ('\n# x\nvolume_size = 3\nimage = "x"\n', 3, "volume_size", "did you mean volume.size_gb?"),
        ("[volume]\nkind = 'disk'\nsize = 3\n", 3, "volume.size", "did you mean volume.size_gb?"),
        ("[volum]\nsize_gb = 30\n", 2, "volum.size_gb", "did you mean volume.size_gb?"),
        ("[volum]\n", 1, "volum", "did you mean volume"),
        ("volume = { kind = 'disk', siz_gb = 30 }\n", 1, "volume.siz_gb", "did you mean volume.size_gb?"),
        ("sync.mod = 'one-way-safe'\n", 1, "sync.mod", "did you mean sync.mode?"),
        ("mode = 'one-way-safe'\n", 1, "mode", "did you mean sync.mode?"),
        ("zzz = 1\n", 1, "zzz", "the keys are: name, template, devcontainer, image"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one(loaded, project, text, line, key, hint):
    own = project(text)
    error = refusal(loaded)
    assert error.message == f"{own}:{line}: there is no key {key!r}."
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('volume = "disk"\n', "1: volume is a table, not a value."),
        ('env = "A=1"\n', "1: env is a table, not a value."),
        ("[gpu]\nname = 'L4'\n", "2: gpu is a value, not a table."),
        ("gpu_count = 0\n", "1: gpu_count should be greater than or equal to 1."),
        ("gpu_count = 'two'\n", "1: gpu_count is a number, without quotes."),
        ("\nimage = ''\n", "2: image should have at least 1 character."),
        ("gpu = [1]\n", "1: gpu should be a valid string."),
        ("tier = 'cheap'\n", "1: tier should be 'secure', 'community' or 'any'."),
        ("max_price = 0\n", "1: max_price should be greater than 0."),
        ("min_cuda = '12'\n", "1: min_cuda should match pattern"),
        ("vcpu = 3\n", "1: vcpu must be a power of two (2, 4, 8, …), not 3."),
        ("vcpu = 1\n", "1: vcpu should be greater than or equal to 2."),
        ("container_disk_gb = 0\n", "1: container_disk_gb should be greater than or equal to 1."),
        ("ports = ['8888/http', '22']\n", "1: ports '22' is no port; write it like 8888/http or 6006/tcp."),
        ("ports = ['70000/tcp']\n", "1: ports '70000/tcp' is no port"),
        (f"ports = {[f'{8000 + n}/http' for n in range(11)]}\n", "1: ports has more than 10 http ports"),
        ("[volume]\nsize_gb = 5\n", "2: volume.size_gb should be greater than or equal to 10."),
        ("[volume]\nkind = 'tape'\n", "2: volume.kind should be 'disk', 'network' or 'none'."),
        ("[volume]\npath = 'workspace'\n", "2: volume.path must be an absolute path on the pod"),
        ("[volume]\npath = '/'\n", "2: volume.path must be an absolute path on the pod"),
        ("[volume]\npath = '/a/../b'\n", "2: volume.path must be an absolute path on the pod"),
        ("workspace = 'project'\n", "1: workspace must be an absolute path on the pod"),
        ("workspace = '/'\n", "1: workspace must be an absolute path on the pod"),
        ("workspace = '/root/x'\n", "1: workspace must lie on the volume, below /workspace"),
        ("tier = 'community'\nvolume.kind = 'network'\n", "1: network volumes exist in the secure cloud only"),
        ("gpu = []\n", "1: neither gpu nor cpu is asked for"),
        ("[sync]\nmode = 'both'\n", "2: sync.mode should be 'one-way-safe', 'two-way-safe' or 'one-way-replica'."),
        ("name = 'My Box'\n", "1: 'My Box' cannot be the name of an environment."),
        ("cloud = 'aws'\n", "1: 'aws' is no cloud."),
        ("template = 'pytorhc'\n", "1: There is no template 'pytorhc'."),
    ],
)
def test_a_bad_value_is_named_with_file_and_line(loaded, project, text, words):
    own = project(text)
    assert refusal(loaded).message.startswith(f"{own}:{words}")


def test_a_bad_value_in_an_inline_table_is_named_with_its_line(loaded, project):
    own = project("\n\nvolume = { kind = 'disk', size_gb = 5 }\n")
    assert refusal(loaded).message.startswith(f"{own}:3: volume.size_gb")


def test_a_bad_variable_or_flag_is_named_as_such(loaded):
    assert refusal(loaded, {"DEVPOD_RP_GPU_COUNT": "x"}).message.startswith("DEVPOD_RP_GPU_COUNT: gpu_count should be")
    assert refusal(loaded, gpu_count=0).message.startswith("--gpu-count: gpu_count")
    assert refusal(loaded, volume__size_gb=1).message.startswith("--volume (or --volume-size): volume.size_gb")
    assert refusal(loaded, volume__kind="tape").message.startswith("--volume (or --volume-kind): volume.kind")
    assert refusal(loaded, container_disk_gb=0).message.startswith("--disk: ")
    assert refusal(loaded, template="nope").message.startswith("--template: There is no template 'nope'.")


def test_a_file_that_is_not_toml_is_named_with_the_line(loaded, project):
    own = project('image = "x"\nports = [\n')
    message = refusal(loaded).message
    assert str(own) in message
    assert "not TOML" in message
    assert "line" in message or "end of document" in message


def test_a_file_that_is_not_text_is_named(loaded, folder):
    (folder / "devpod-rp.toml").write_bytes(b"\xff\xfe\x00")
    assert f"{folder / 'devpod-rp.toml'} cannot be read" in refusal(loaded).message


def test_a_template_without_an_image_is_said_to_lack_one(loaded, user_template):
    user_template("empty", "gpu = 'L4'\n")
    assert "image is missing." in refusal(loaded, template="empty").message


# ---- secrets --------------------------------------------------------------------------------------------------------
def test_values_of_env_are_in_no_repr_and_no_provenance(loaded, project):
    project('[env]\nTOKEN = "hunter2"\n')
    found = loaded(env={"OTHER": "hunter2"})
    assert found.spec.env == {"TOKEN": "hunter2", "OTHER": "hunter2"}
    assert "hunter2" not in repr(found) + str(found.spec) + str(found.provenance)
    assert found.provenance["env.OTHER"] == "--env"


@pytest.mark.parametrize(
    "text",
    [
        '[env]\n"BAD NAME" = "hunter2"\n',
        '[env]\nTOKEN = ["hunter2"]\n',
        '[env]\nTOKEN = { inner = "hunter2" }\n',
        'gpu_count = 0\n[env]\nTOKEN = "hunter2"\n',
        'ports = ["hunter"]\n[env]\nTOKEN = "hunter2"\n',
        'cpu = "x"\ngpu = ["y"]\n[env]\nTOKEN = "hunter2"\n',
        "[env]\n" + "".join(f'V{n} = "hunter2"\n' for n in range(50)),
        "env = 'hunter2'\n",
    ],
)
def test_no_error_shows_a_value_of_env(loaded, project, text):
    project(text)
    error = refusal(loaded)
    assert "hunter2" not in error.message + str(error.hint) + repr(error) + str(error.__cause__)


def test_a_value_of_env_that_is_no_text_is_named_with_its_line(loaded, project):
    own = project("[env]\nA = '1'\nPORT = 8080\n")
    assert refusal(loaded).message == f"{own}:3: env.PORT should be a valid string."


def test_as_many_variables_as_runpod_takes_beside_ours(loaded):
    assert len(loaded(env={f"V{n}": "x" for n in range(49)}).spec.env) == 49
    assert "50 with PUBLIC_KEY" in refusal(loaded, env={f"V{n}": "x" for n in range(50)}).message
