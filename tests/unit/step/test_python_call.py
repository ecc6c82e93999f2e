"""Where the source of a component goes; `test_launcher` has the calls themselves."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
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


EXECUTOR = """
import json, sys

if __name__ == "__main__":
    here = vars(sys.modules["__main__"]) is globals()
    loaded = [name for name in sys.modules if name.startswith("told")]
    told = [__name__, __package__, __file__, __cached__, __spec__.name, sys.argv, here, loaded]
    print(json.dumps([*told, WORD]))
"""


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in the place of KFP's executor, which prints the state that it runs in."""
    folder = tmp_path / "told"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text(f"WORD = 'first'\n{EXECUTOR}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(python_call, "_MODULE", "told.main")
    monkeypatch.setattr(python_call, "_kept", None)
    monkeypatch.setattr(sys, "argv", ["told.main", "--word"])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    yield folder
    for name in ("told", "told.main"):
        sys.modules.pop(name, None)


def test_an_executor_that_was_kept_runs_as_one_that_was_not(
    executor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> str:
        sys.argv = ["told.main", "--word"]
        python_call._run()
        return capsys.readouterr().out

    found = run()
    words = [str(executor / "main.py"), "--word"]
    assert json.loads(found)[5:] == [words, True, ["told"], "first"]

    python_call.keep()
    (executor / "main.py").unlink()
    assert run() == found


def test_one_that_an_environment_replaced_is_not_what_was_kept(
    executor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python_call.keep()
    # Of another length: Python knows by that and the second that what it compiled is old.
    (executor / "main.py").write_text(f"WORD = 'the other'\n{EXECUTOR}")
    del sys.modules["told.main"]

    python_call._run()

    assert json.loads(capsys.readouterr().out)[-1] == "the other"
