"""Documents on a volume and in a database: the same to whoever reads and writes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from toolkit_pipelines import disks
from toolkit_pipelines.documents import DocumentError, Documents, Kind, VolumeDocuments, lasting
from toolkit_pipelines.events import RunCreated
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.documents import StoredDocuments
from toolkit_pipelines.store.interface import Experiment, Run, StoreError

RUN = "5f0c1d7e-0000-4000-8000-000000000001"
FOLDER = f"place/p/{RUN}"
HOME = f"{FOLDER}/train/0123456789abcdef"
OTHER = f"{FOLDER}/train/fedcba9876543210"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(tmp_path / "pipelines.db")
    made.catalog.create_experiment(Experiment(experiment_id="e", display_name="e", created=1.0))
    run = Run(run_id=RUN, experiment_id="e", display_name="r", spec="", parameters={}, created=2.0)
    created = RunCreated(
        run_id=RUN,
        time=2.0,
        spec="",
        display_name="r",
        pipeline_name="p",
        experiment_id="e",
        experiment_name="e",
    )
    made.runs.create(run, created, b"{}")
    return made


@pytest.fixture(params=["volume", "database"])
def documents(request: pytest.FixtureRequest, tmp_path: Path, store: Store) -> Documents:
    if request.param == "volume":
        return VolumeDocuments(tmp_path / "root")
    return StoredDocuments(store.database)


def test_what_is_written_is_read(documents: Documents) -> None:
    for home, kind in [(HOME, each) for each in Kind if each is not Kind.WORKSPACE] + [
        (FOLDER, Kind.WORKSPACE)
    ]:
        assert not documents.has(home, kind)
        assert documents.read(home, kind) is None
        documents.write(home, kind, f"{kind} é")
        documents.write(home, kind, f"{kind} ü")
        assert documents.has(home, kind)
        assert documents.read(home, kind) == f"{kind} ü"
    assert not documents.has(OTHER, Kind.INPUT)


def test_one_claims(documents: Documents) -> None:
    documents.write(HOME, Kind.INPUT, "{}")
    assert not documents.has(HOME, Kind.CLAIM)
    assert documents.claim(HOME, "one") == "one"
    assert documents.claim(HOME, "two") == "one"
    assert documents.claim(HOME, "one") == "one"
    assert documents.read(HOME, Kind.CLAIM) == "one"


def test_what_was_declared_is_dropped_alone(documents: Documents) -> None:
    documents.drop(HOME)
    documents.write(HOME, Kind.INPUT, "in")
    documents.write(HOME, Kind.DECLARED, "list")
    documents.drop(HOME)
    assert documents.read(HOME, Kind.DECLARED) is None
    assert documents.read(HOME, Kind.INPUT) == "in"


def test_documents_in_the_database_are_their_runs(store: Store) -> None:
    documents = StoredDocuments(store.database)
    documents.write(HOME, Kind.INPUT, "in")
    documents.write(FOLDER, Kind.WORKSPACE, "claim")
    assert documents.folders(RUN) == [FOLDER]
    assert documents.folders("another") == []
    documents.add({(HOME, Kind.INPUT): "too late", (HOME, Kind.RESULT): "result"})
    assert documents.read(HOME, Kind.INPUT) == "in"
    assert documents.read(HOME, Kind.RESULT) == "result"
    with pytest.raises(StoreError):
        documents.write(f"p/{'0' * 36}/train/0123456789abcdef", Kind.INPUT, "of no run")
    with store.database.write() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM runs"))
    assert documents.read(HOME, Kind.INPUT) is None
    assert documents.folders(RUN) == []


@pytest.mark.parametrize("made", ["link", "pipe", "large", "bytes"])
def test_what_a_step_makes_of_its_result(tmp_path: Path, made: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    documents = VolumeDocuments(tmp_path / "root")
    documents.write(HOME, Kind.INPUT, "{}")
    for kind in (Kind.RESULT, Kind.CLAIM):
        path = documents.path(HOME, kind)
        if made == "link":
            path.symlink_to(secret)
        elif made == "pipe":
            os.mkfifo(path)
        elif made == "large":
            path.touch()
            os.truncate(path, 1 << 40)
        else:
            path.write_bytes(b"\xff\xfe")
        assert documents.has(HOME, kind)
        with pytest.raises(OSError, match=r"cannot be read|neither|bytes|no text"):
            documents.read(HOME, kind)
    assert issubclass(DocumentError, OSError)


def test_what_is_small_and_on_a_disk_of_this_machine_is_near(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = VolumeDocuments(tmp_path / "root")
    monkeypatch.setattr(disks, "near", lambda folder: folder == tmp_path / "root")
    assert documents.near(HOME, Kind.RESULT)
    documents.write(HOME, Kind.INPUT, "{}")
    documents.path(HOME, Kind.RESULT).write_text("x" * disks.SMALL)
    assert documents.near(HOME, Kind.INPUT)
    assert documents.near(HOME, Kind.RESULT)
    documents.path(HOME, Kind.RESULT).write_text("x" * (disks.SMALL + 1))
    assert not documents.near(HOME, Kind.RESULT)
    assert not VolumeDocuments(tmp_path / "other").near(HOME, Kind.INPUT)
    assert not StoredDocuments(store.database).near(HOME, Kind.INPUT)


async def test_a_call_is_lasting_on_the_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit_pipelines.documents._PAUSE", 0)
    called: list[int] = []

    def call() -> str:
        called.append(threading.get_ident())
        return "found" if len(called) > 1 else _away()

    assert await lasting("it", call, here=True) == "found"
    assert called == [threading.get_ident()] * 2


async def test_a_database_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit_pipelines.documents._PAUSE", 0)
    answers: list[Callable[[], str]] = [lambda: _away(), lambda: _away(), lambda: "found"]
    assert await lasting("it", lambda: answers.pop(0)()) == "found"


def _away() -> str:
    raise StoreError("away")
