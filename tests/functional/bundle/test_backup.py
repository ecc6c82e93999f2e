"""A backup brings back what was there, and only that, through the charm's actions."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import jubilant
import pytest

from ..deployment import Bundle, tasks
from ..waiting import wait
from .pipelines import handing, waiting

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


def names(bundle: Bundle) -> set[str]:
    found = bundle.call("GET", "/runs", params={"page_size": 200}).json()
    return {run["run_id"] for run in found.get("runs", [])}


def downloaded(bundle: Bundle, run_id: str) -> bytes:
    listed = bundle.call("GET", "/artifacts", params={"run_id": run_id}).json()["artifacts"]
    (artifact,) = [each["artifact_id"] for each in listed if each["name"] == "data"]
    answer = bundle.call("GET", f"/artifacts/{artifact}:download")
    assert answer.status_code == 200, answer.text
    return answer.content


def test_what_a_backup_holds_comes_back(
    bundle: Bundle, juju: jubilant.Juju, tmp_path: Path
) -> None:
    kept = bundle.start(handing, megabytes=1)
    assert bundle.finish(kept)["state"] == "SUCCEEDED"
    content = downloaded(bundle, kept)
    under_way = bundle.start(waiting, seconds=600)
    wait(lambda: bundle.inside(under_way), "its step works")
    done = juju.run("pipelines/0", "backup", wait=120).results
    assert int(done["runs"]) >= 2
    # What the action says fetches it, whole.
    words = done["fetch"].split()
    assert words[:2] == ["juju", "scp"]
    juju.cli(*words[1:-1], str(tmp_path))
    fetched = tmp_path / Path(done["path"]).name
    assert fetched.stat().st_size == int(done["size"])
    with tarfile.open(fetched) as file:
        assert len(file.getmembers()) == int(done["files"]) + 2

    # What comes later goes, what goes later comes back.
    assert bundle.call("DELETE", f"/runs/{kept}").status_code == 200
    late = bundle.start(waiting, seconds=600)
    wait(lambda: bundle.inside(late), "a step of the late run works")

    # A damaged one changes nothing, and disturbs nothing.
    damaged = bytearray(fetched.read_bytes())
    damaged[700] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    juju.cli("scp", "--container", "pipelines", f"{tmp_path}/damaged.tar", "pipelines/0:/state/")
    with pytest.raises(jubilant.TaskError) as caught:
        juju.run("pipelines/0", "restore", {"path": "/state/damaged.tar"}, wait=120)
    assert "damaged" in caught.value.task.message
    assert bundle.inside(late)
    assert late in names(bundle)

    restored = juju.run("pipelines/0", "restore", {"path": done["path"]}, wait=300).results
    assert restored["runs"] == done["runs"]
    found = names(bundle)
    assert kept in found
    assert late not in found
    assert downloaded(bundle, kept) == content
    wait(
        lambda: not bundle.inside(late) and not bundle.inside(under_way),
        "the steps that ran have been ended",
    )
    # The step that ran when the backup was written is lost, as after a crash.
    run = bundle.finish(under_way)
    assert run["state"] == "FAILED"
    errors = [task["error"]["message"] for task in tasks(run) if task.get("error")]
    assert any("pod was deleted before the step ended" in each for each in errors), errors
    # What was replaced is kept no longer than that.
    state, root = (
        next(bundle.minijuju.glob(f"storage/*/{name}-*")) for name in ("state", "pipeline-root")
    )
    wait(
        lambda: not any(os.path.lexists(each / ".restore" / "old") for each in (state, root)),
        "what was replaced is deleted",
    )
    # And the service goes on: what failed can be done again, and what has ended removed.
    listed = juju.run("pipelines/0", "list-runs", {"state": "FAILED", "format": "json"}).results
    assert under_way in {each["run_id"] for each in json.loads(listed["runs"])}
    again = juju.run("pipelines/0", "retry-run", {"run-id": under_way}).results
    assert (again["run-id"], again["state"]) == (under_way, "RUNNING")
    wait(lambda: bundle.inside(under_way), "its step works again")
    assert bundle.call("POST", f"/runs/{under_way}:terminate").status_code == 200
    assert bundle.finish(under_way)["state"] == "CANCELED"

    def dispensable() -> list[str]:
        asked = {"keep": 1, "dry-run": True}
        return str(juju.run("pipelines/0", "prune", asked).results["run-ids"]).split()

    # Not before MLflow has been told all of it.
    wait(lambda: kept in dispensable(), "the older run can be removed")
    assert {kept, under_way} <= names(bundle)
