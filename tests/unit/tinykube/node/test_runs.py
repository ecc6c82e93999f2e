"""Where the runs of a container are, those that an earlier release has left too."""

from __future__ import annotations

from pathlib import Path

from tinykube.node.runs import Runs, directories


def begin(runs: Runs, *numbers: int) -> None:
    for number in numbers:
        runs.directory(number).mkdir(parents=True)
        runs.log(number).write_text(f"{number}\n")
        runs.make_message(number).write_text("last words")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_all_of_a_run_is_in_one_folder(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "main")
    begin(runs, 0)

    assert files(tmp_path) == {"main.0/output.log", "main.0/message"}
    assert runs.directory(0) == tmp_path / "main.0"


def test_last_words_are_for_their_owner_alone_and_stay(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "main")
    begin(runs, 0)

    path = runs.make_message(0)

    assert path.read_text() == "last words"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_last_that_has_a_log(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "main")
    assert runs.logged() is None

    begin(runs, 0, 2, 10)
    runs.directory(11).mkdir()

    assert runs.logged() == 10
    # None of them has a container.
    assert runs.newest() is None


def test_of_those_before_nothing_is_left(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "main")
    begin(runs, 0, 1, 2)

    runs.prune(1)

    assert runs.logged() == 2
    assert {path.name for path in tmp_path.iterdir()} == {"main.1", "main.2"}


def test_another_container_of_a_pod_is_another(tmp_path: Path) -> None:
    begin(Runs(tmp_path, "main"), 3)
    runs = Runs(tmp_path, "main-2")
    begin(runs, 0, 1)
    (tmp_path / "main-2.txt").touch()

    assert (runs.logged(), Runs(tmp_path, "main").logged()) == (1, 3)
    assert {path.name for path in directories(tmp_path)} == {"main.3", "main-2.0", "main-2.1"}


def test_a_pod_of_an_earlier_release_keeps_its_places(tmp_path: Path) -> None:
    (tmp_path / "logs/main").mkdir(parents=True)
    (tmp_path / "logs/main/0.log").write_text("of old")
    (tmp_path / "messages/main").mkdir(parents=True)
    (tmp_path / "messages/main/0").write_text("said")
    (tmp_path / "containers/main/0").mkdir(parents=True)
    runs = Runs(tmp_path, "main")

    assert runs.logged() == 0
    assert runs.log(0).read_text() == "of old"
    assert runs.message(0).read_text() == "said"
    begin(runs, 1)
    runs.prune(1)
    assert files(tmp_path) == {"logs/main/1.log", "messages/main/1"}
    assert list(directories(tmp_path)) == [tmp_path / "containers/main/1"]
    # Another container of it that has not begun has no such places.
    assert Runs(tmp_path, "other").log(0) == tmp_path / "other.0/output.log"
