from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from toolkit_pipelines import app, upkeep

from .states import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.add("one")
    return made


@pytest.fixture
def config(state: State, tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    settings = {
        "name": "p",
        "state": str(state.folder),
        "pipeline_root": str(state.root.folder),
        "environments": str(tmp_path / "environments"),
        "token_file": str(tmp_path / "tokens"),
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def test_from_a_backup_to_its_restoration(
    state: State, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state.seen()
    assert upkeep.main(["--config", str(config), "backup"]) == 0
    told = json.loads(capsys.readouterr().out)
    path = Path(told["path"])
    assert path.parent == state.folder / "backups"
    assert path.name.startswith("p-20")
    assert (told["runs"], told["size"]) == (1, path.stat().st_size)
    assert told["created"].endswith("Z")
    state.add("two")
    assert upkeep.main(["--config", str(config), "prepare", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1
    assert upkeep.main(["--config", str(config), "swap"]) == 0
    assert state.seen() == before


def test_into_a_folder_or_to_a_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    for given, found in (("folder", "folder/p-*.tar"), ("new/a.tar", "new/a.tar")):
        assert upkeep.main(["--config", str(config), "backup", "--to", f"{tmp_path}/{given}"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [str(each) for each in tmp_path.glob(found)] == [told["path"]]
    assert upkeep.main(["--config", str(config), "backup", "--to", f"{tmp_path}/new/a.tar"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/new/a.tar is there already")


@pytest.mark.parametrize("verb", [["backup"], ["prepare", "/a.tar"], ["swap"], ["undo"]])
def test_what_is_in_postgresql_is_left_to_it(
    config: Path, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**settings, "database_file": "/etc/postgresql.yaml"}))
    assert upkeep.main(["--config", str(config), *verb]) == 2
    assert capsys.readouterr().err.startswith("error: the data are in PostgreSQL, whose own tools")


def test_what_cannot_be_done_is_told(
    state: State,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for words in (["prepare", f"{tmp_path}/nothing"], ["swap"], ["undo"]):
        assert upkeep.main(["--config", str(config), *words]) == 2
        found = capsys.readouterr()
        assert (found.out, found.err[:7]) == ("", "error: ")
    with pytest.raises(SystemExit):
        upkeep.main(["--config", str(config), "prepare", "relative"])
    monkeypatch.setattr(upkeep, "locked", lambda folder: app.locked(folder, 0.0))
    with app.locked(state.folder):
        assert upkeep.main(["--config", str(config), "swap"]) == 2
    assert "is in use by another process" in capsys.readouterr().err
