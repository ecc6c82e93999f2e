"""Where the source of a component goes; `test_launcher` has the calls themselves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from toolkit_launcher import python_call

SOURCE = "def told():\n    return '\u00e4'\n"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files that there is without TMPDIR."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def written(path: str) -> Path:
    found = Path(path)
    assert found.read_text(encoding="utf-8") == SOURCE
    assert found.name == "ephemeral_component.py"
    assert found.parent.stat().st_mode & 0o777 == 0o700
    return found.parent.parent


def test_in_memory(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(python_call, "MEMORY", str(memory))

    assert written(python_call.write(SOURCE)) == memory
    assert written(python_call.write(SOURCE)) == memory


def test_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    assert written(python_call.write(SOURCE)) == tmp_path


@pytest.mark.parametrize("memory", ["/none", "/dev/null"])
def test_on_the_disk_if_there_is_no_memory(
    disk: Path, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    monkeypatch.setattr(python_call, "MEMORY", memory)

    assert written(python_call.write(SOURCE)) == disk
