"""Templates, ours and the user's, and the file that ``init`` writes from them."""

from __future__ import annotations

import stat

import pytest

from devpod_rp.errors import ConfigurationError
from devpod_rp.spec.sources import load
from devpod_rp.spec.starter import of_any_project, write_starter, write_template
from devpod_rp.spec.templates import DEFAULT, list_templates, load_template


def test_three_come_with_us_and_each_makes_a_spec(folder):
    found = {template.name: template for template in list_templates()}
    assert set(found) == {"cpu", "pytorch", "ubuntu"}
    assert all(template.builtin and template.description for template in found.values())
    specs = {name: load(folder, {"template": name}, environ={}).spec for name in found}
    assert DEFAULT in found
    assert {name: spec.template for name, spec in specs.items()} == {name: name for name in found}
    assert specs["cpu"].cpu
    assert specs["cpu"].volume.kind == "network"
    assert specs["pytorch"].start_command is None
    assert all("22/tcp" in spec.ports for spec in specs.values())


def test_the_bare_image_brings_its_own_ssh_server(folder):
    command = load(folder, {"template": "ubuntu"}, environ={}).spec.start_command
    assert command is not None
    assert command[:2] == ("bash", "-c")
    for needed in ("openssh-server", "PUBLIC_KEY", "ssh-keygen -lf", "SSH host keys:", "exec /usr/sbin/sshd -D"):
        assert needed in command[2]


def test_the_users_own_hides_ours_of_the_same_name(user_template, loaded):
    path = user_template("pytorch", 'description = "mine"\nimage = "mine:1"\ngpu = "A40"\n')
    template = load_template("pytorch")
    assert (template.path, template.builtin, template.description) == (path, False, "mine")
    assert loaded().spec.image == "mine:1"
    assert loaded().provenance["image"] == f"{path}:2"


def test_a_template_of_the_users_is_chosen_by_name(user_template, loaded, project):
    user_template("jax", 'image = "jax:1"\ngpu = ["H100 SXM"]\n')
    project('template = "jax"\n')
    assert loaded().spec.image == "jax:1"
    assert loaded(template="cpu").spec.cpu == "cpu3c"
    assert "jax" in [template.name for template in list_templates()]


def test_an_unknown_key_in_a_template_is_named_with_its_line(user_template, loaded):
    path = user_template("mine", 'image = "x"\nimgae = "y"\n')
    with pytest.raises(ConfigurationError) as caught:
        loaded(template="mine")
    assert caught.value.message == f"{path}:2: there is no key 'imgae'."


def test_a_broken_template_harms_nobody_who_does_not_use_it(user_template, loaded):
    path = user_template("broken", "image = \n")
    assert loaded().spec.template == "pytorch"
    with pytest.raises(ConfigurationError, match="not TOML") as caught:
        loaded(template="broken")
    assert str(path) in caught.value.message
    with pytest.raises(ConfigurationError, match="not TOML"):
        list_templates()


def test_a_description_that_is_no_text_is_refused(user_template):
    user_template("mine", "description = 3\n")
    with pytest.raises(ConfigurationError, match="description must be text"):
        load_template("mine")


@pytest.mark.parametrize(
    ("name", "hint"), [("pytroch", "did you mean pytorch?"), ("../pytorch", ""), ("zzz", "There are:")]
)
def test_an_unknown_template_names_the_nearest(name, hint):
    with pytest.raises(ConfigurationError, match="There is no template") as caught:
        load_template(name)
    assert hint in str(caught.value.hint)
    assert "cpu, pytorch, ubuntu" in str(caught.value.hint)


# ---- the starter ----------------------------------------------------------------------------------------------------
VALUES = {
    "name": "trainer",
    "template": "pytorch",
    "gpu": ["H100 SXM", "A100 SXM"],
    "container_disk_gb": 40,
    "env": {"QUOTED": 'say "hi" \\ # no comment'},
    "volume": {"kind": "network", "size_gb": 120},
    "sync": {"mode": "one-way-safe", "ignore": ["*.pt", "runs/"]},
}


def test_what_the_starter_says_is_what_load_reads(folder):
    path = write_starter(folder, VALUES)
    found = load(folder, {}, environ={})
    assert found.name == "trainer"
    assert found.spec.gpu == ("H100 SXM", "A100 SXM")
    assert (found.spec.container_disk_gb, found.spec.env) == (40, VALUES["env"])
    assert (found.spec.volume.kind, found.spec.volume.size_gb) == ("network", 120)
    assert found.spec.sync.ignore == ("*.pt", "runs/")
    assert found.provenance["gpu"].startswith(f"{path}:")


def test_the_starter_explains_its_values(folder):
    text = write_starter(folder, VALUES).read_text(encoding="utf-8")
    assert "# GPU types in the order you like them" in text
    assert "# billed while the pod is stopped too" in text
    assert stat.S_IMODE((folder / "devpod-rp.toml").stat().st_mode) & 0o444 == 0o444


def test_the_starter_writes_over_nothing_unasked(folder, project):
    own = project("# precious\n")
    with pytest.raises(ConfigurationError, match="exists already"):
        write_starter(folder, VALUES)
    assert own.read_text() == "# precious\n"
    write_starter(folder, VALUES, overwrite=True)
    assert "trainer" in own.read_text()


# ---- templates of one's own -----------------------------------------------------------------------------------------


def test_a_template_made_of_a_project_makes_the_same_pod_elsewhere(folder, project, tmp_path):
    project(
        'name = "trainer"\ngpu = ["H100 SXM"]\ncontainer_disk_gb = 70\n[env]\nWANDB = "se\\"cret"\n'
        '[volume]\nkind = "network"\nname = "ours"\nsize_gb = 80\n[sync]\nignore = ["*.pt"]\n'
    )
    path = write_template("mine", "what we train on", of_any_project(load(folder, {}, environ={})))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "env may hold secrets"
    other = tmp_path / "other"
    other.mkdir()
    found = load(other, {"template": "mine"}, environ={})
    assert (found.name, found.spec.volume.name) == ("other", None), "what belongs to the project stays there"
    assert (found.spec.gpu, found.spec.container_disk_gb) == (("H100 SXM",), 70)
    assert (found.spec.env, found.spec.sync.ignore) == ({"WANDB": 'se"cret'}, ("*.pt",))
    assert (found.spec.volume.kind, found.spec.volume.size_gb) == ("network", 80)
    assert load_template("mine").description == "what we train on"


@pytest.mark.parametrize("base", ["cpu", "pytorch", "ubuntu"])
def test_a_copy_of_a_template_of_ours_makes_the_same_pod(folder, base):
    write_template("copy", "", load_template(base).values)
    ours, copied = (load(folder, {"template": name}, environ={}).spec.model_dump() for name in (base, "copy"))
    assert {**copied, "template": base} == ours


def test_a_template_is_not_written_over_unasked_nor_anywhere_else(folder):
    write_template("mine", "first", {"image": "a:1"})
    with pytest.raises(ConfigurationError, match="exists already"):
        write_template("mine", "second", {"image": "b:1"})
    assert load_template("mine").description == "first"
    write_template("mine", "second", {"image": "b:1"}, overwrite=True)
    assert load_template("mine").description == "second"
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        write_template("../mine", "", {})
