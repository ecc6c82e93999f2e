"""The interpreter of a charm's version."""

import os
import subprocess
import sys

import pytest

from minijuju import interpreters

FAKE = """#!/bin/sh
echo '[[3, {minor}, 4], "{prefix}"]'
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine whose PATH, pyenv and uv are empty; its answers are not remembered."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(interpreters.uv, "find_uv_bin", lambda: "/bin/false")
    (tmp_path / "bin").mkdir()
    interpreters.find.cache_clear()
    yield
    interpreters.find.cache_clear()


@pytest.fixture
def binary(tmp_path):
    """Make a compiled program (a copy of the shell) say that it is some Python."""

    def write(path, minor):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE.format(minor=minor, prefix=tmp_path / f"python3.{minor}"))
        path.chmod(0o755)
        return path

    return write


def test_our_own():
    own = interpreters.own()
    assert own.executable.resolve() == own.executable
    # Asked for by name, it says the same of itself.
    code = "import sys; print(*sys.version_info[:3], sys.base_prefix)"
    words = [str(own.executable), "-I", "-S", "-c", code]
    told = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout == f"{' '.join(map(str, own.version))} {own.prefix}\n"


def test_our_own_version_is_found_without_path():
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert interpreters.find(minor) == interpreters.own()


def test_pyenvs(binary, tmp_path):
    older = binary(tmp_path / "pyenv/versions/3.98.1/bin/python3.98", 98)
    newer = binary(tmp_path / "pyenv/versions/3.98.2/bin/python3.98", 98)
    found = interpreters.find("3.98")
    assert found.executable == newer != older
    assert found.minor == "3.98"
    assert found.mounted == tmp_path / "python3.98"


def test_uvs(binary, tmp_path, monkeypatch):
    managed = binary(tmp_path / "uv/python3.98", 98)
    uv = tmp_path / "uv/uv"
    uv.write_text(f"#!/bin/sh\necho {managed}\n")
    uv.chmod(0o755)
    monkeypatch.setattr(interpreters.uv, "find_uv_bin", lambda: str(uv))
    assert interpreters.find("3.98").executable == managed


def test_one_that_lies_about_its_version_is_passed_over(binary, tmp_path):
    binary(tmp_path / "pyenv/versions/3.98.2/bin/python3.98", 97)
    with pytest.raises(interpreters.PythonError):
        interpreters.find("3.98")


def test_a_shim_is_passed_over(binary, tmp_path):
    # pyenv's shims are scripts; they choose by folder, and the container has none of theirs.
    binary(tmp_path / "bin/python3.98", 98)
    with pytest.raises(
        interpreters.PythonError, match=r"no Python 3\.98.*uv python install 3\.98"
    ):
        interpreters.find("3.98")


def test_what_usr_holds_needs_no_mount(tmp_path):
    system = interpreters.Python(tmp_path, (3, 12, 1), tmp_path.__class__("/usr"))
    assert system.mounted is None
    assert os.fspath(interpreters.Python(tmp_path, (3, 12, 1), tmp_path).mounted) == str(tmp_path)
