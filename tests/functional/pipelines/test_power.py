"""A machine that lost its power: every process has gone, and the last changes of the database."""

import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ..waiting import wait
from .stack import NAMESPACE, Gate, Service
from .test_steps import IMAGE, finish, submit

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def note(text: str, page: dsl.Output[dsl.HTML], gate: int = 0) -> str:
    import os
    import socket
    import time

    with socket.socket() as probe:
        while gate and probe.connect_ex(("127.0.0.1", gate)):
            time.sleep(0.05)
    with open(page.path, "w") as file:
        file.write(f"<p>{text}")
    return f"{text} {os.environ['KFP_RETRY_INDEX']}"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def join(page: dsl.Input[dsl.HTML], first: str, second: str) -> str:
    with open(page.path) as file:
        return f"{first}, {second}, {file.read()}"


@dsl.pipeline(name="unplugged")
def unplugged(gate: int) -> str:
    first = note(text="first")
    second = note(text=first.outputs["Output"], gate=gate).set_retry(1, backoff_duration="0s")
    return join(
        page=first.outputs["page"], first=first.outputs["Output"], second=second.outputs["Output"]
    ).output


def kinds(database: Path, run_id: str) -> Counter[str]:
    """How many events of each kind a run has."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT kind FROM events WHERE run_id = ?", (run_id,))
        return Counter(kind for (kind,) in rows)


def test_what_the_database_lost_is_found_again(serve: Callable[..., Service], gate: Gate) -> None:
    service = serve("unplugged")
    database = service.folder / "state" / "pipelines.db"
    run_id = submit(service, unplugged, gate=gate.port)
    # What was answered is on the disk, and hardly more.
    with (
        closing(sqlite3.connect(database)) as connection,
        closing(sqlite3.connect(service.folder / "kept.db")) as kept,
    ):
        connection.backup(kept)
    wait(
        lambda: any(service.root.glob(f"unplugged/{run_id}/note-2/*/.started")),
        "the step that waits has begun",
    )
    wait(lambda: kinds(database, run_id)["TaskStarted"] == 2, "its start is recorded")
    assert kinds(service.folder / "kept.db", run_id)["TaskSucceeded"] == 0
    (ended,) = service.root.glob(f"unplugged/{run_id}/note/*/result.json")
    record = ended.stat()

    service.kill()
    service.cluster.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0")
    service.cluster.wait_for_no_pods()
    for each in database.parent.glob("pipelines.db*"):
        each.unlink()
    (service.folder / "kept.db").rename(database)

    gate.open()
    service.start()
    run = finish(service.client(), run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    # The first step did not run again; the second was lost in the middle, and had another attempt.
    assert kinds(database, run_id) == {
        "RunCreated": 1,
        "TaskStarted": 4,
        "TaskSucceeded": 3,
        "TaskFailed": 1,
        "RunEnded": 1,
    }
    assert ended.stat().st_mtime_ns == record.st_mtime_ns
    (total,) = service.root.glob(f"unplugged/{run_id}/join/*/result.json")
    assert "first 0, first 0 1, <p>first" in total.read_text()
