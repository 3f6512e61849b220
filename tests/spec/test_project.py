"""What a folder's files say about the project in it."""

from __future__ import annotations

import pytest

from devpod_rp.spec.project import detect


@pytest.mark.parametrize(
    ("files", "signs", "template", "install"),
    [
        ({}, (), "pytorch", ()),
        (
            {"requirements.txt": "numpy\ntorch==2.8  # for the GPU\n"},
            ("requirements.txt (a GPU library)",),
            "pytorch",
            ("pip install -r requirements.txt",),
        ),
        ({"requirements.txt": "torchlike\n"}, ("requirements.txt",), "pytorch", ("pip install -r requirements.txt",)),
        (
            {"pyproject.toml": '[project]\ndependencies = [\n  "transformers>=4",\n]\n'},
            ("pyproject.toml (a GPU library)",),
            "pytorch",
            ("pip install -e .",),
        ),
        ({"pyproject.toml": "[tool.ruff]\n"}, ("pyproject.toml",), "pytorch", ()),
        ({"package.json": "{}"}, ("package.json",), "cpu", ("npm install",)),
        ({"a.ipynb": "{}", "notebooks/b.ipynb": "{}"}, ("2 notebooks",), "pytorch", ()),
        (
            {".devcontainer/devcontainer.json": "{}", "requirements.txt": "x"},
            ("requirements.txt", ".devcontainer/devcontainer.json"),
            None,
            (),
        ),
        ({"requirements.txt": "\0\xff"}, ("requirements.txt",), "pytorch", ("pip install -r requirements.txt",)),
    ],
)
def test_a_folder_is_what_its_files_say(folder, files, signs, template, install):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="latin-1")
    found = detect(folder)
    assert (found.signs, found.template, found.install) == (signs, template, install)
