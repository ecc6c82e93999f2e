"""Backup and restore: what the workload is asked to do, in which order, and what is said."""

from __future__ import annotations

import dataclasses
import json

import ops
import pytest
from ops import pebble, testing

COMMAND = [
    "/opt/venv/bin/python",
    "-m",
    "toolkit_pipelines.upkeep",
    "--config",
    "/etc/toolkit-pipelines/settings.yaml",
]
ABOUT = {"version": "0.1.0", "revision": "0004", "runs": 2, "recurring_runs": 1, "left_out": 0}


class Workload:
    """What the workload is asked to do, in order, and what it answers."""

    def __init__(self):
        self.asked = []
        self.answers = {}

    def answer(self, verb, stdout="{}", error=""):
        self.answers[verb] = testing.Exec(
            [*COMMAND, verb],
            return_code=2 if error else 0,
            stdout=stdout,
            stderr=f"a note\nerror: {error}\n" if error else "",
        )


@pytest.fixture
def workload(monkeypatch):
    made = Workload()
    for verb in ("swap", "undo"):
        made.answer(verb)
    made.answer("prepare", json.dumps({"path": "/a.tar", **ABOUT}))
    run = ops.Container.exec

    def asked(container, command, **options):
        made.asked.append(command[len(COMMAND)])
        return run(container, command, **options)

    monkeypatch.setattr(ops.Container, "exec", asked)
    for name in ("stop", "start"):
        real = getattr(ops.Container, name)

        def noted(container, *services, _real=real, _name=name):
            made.asked.append(_name)
            return _real(container, *services)

        monkeypatch.setattr(ops.Container, name, noted)
    return made


@pytest.fixture
def act(context, running, workload):
    """Run an action; give its results."""

    def run(action, **params):
        (container,) = running.containers
        asked = dataclasses.replace(container, execs=set(workload.answers.values()))
        state = dataclasses.replace(running, containers=[asked])
        after = context.run(context.on.action(action, params=params), state)
        status = after.get_container("pipelines").service_statuses["pipelines"]
        assert status is pebble.ServiceStatus.ACTIVE
        return context.action_results

    return run


def fails(act, action, **params):
    with pytest.raises(testing.ActionFailed) as caught:
        act(action, **params)
    return caught.value.message


def test_backup(act, workload):
    done = {"path": "/state/backups/a.tar", "size": 10240, "artifact_store": "", **ABOUT}
    workload.answer("backup", json.dumps(done))
    assert act("backup") == {
        "path": "/state/backups/a.tar",
        "size": "10240",
        "version": "0.1.0",
        "revision": "0004",
        "runs": "2",
        "recurring-runs": "1",
        "left-out": "0",
        "fetch": "juju scp --container pipelines pipelines/0:/state/backups/a.tar .",
    }
    # The service goes on.
    assert workload.asked == ["backup"]


def test_backup_to_a_path(act, workload, context):
    workload.answers["backup"] = testing.Exec(
        [*COMMAND, "backup", "--to", "/mnt/a.tar"], stdout='{"path": "/mnt/a.tar"}'
    )
    assert act("backup", path="/mnt/a.tar")["path"] == "/mnt/a.tar"


def test_backup_that_cannot_be_written(act, workload):
    workload.answer("backup", error="/state has 5 bytes free, and the backup takes up to 9")
    assert fails(act, "backup") == "/state has 5 bytes free, and the backup takes up to 9"


def test_restore(act, workload):
    assert act("restore", path="/a.tar")["runs"] == "2"
    assert workload.asked == ["prepare", "stop", "swap", "start"]


def test_a_damaged_backup_stops_nothing(act, workload):
    workload.answer("prepare", error="/a.tar cannot be restored: files/00 is damaged")
    message = fails(act, "restore", path="/a.tar")
    assert message == "/a.tar cannot be restored: files/00 is damaged"
    assert workload.asked == ["prepare"]


def test_the_service_starts_again_if_nothing_can_be_swapped(act, workload):
    workload.answer("swap", error="no space left")
    assert fails(act, "restore", path="/a.tar") == "no space left"
    assert workload.asked == ["prepare", "stop", "swap", "start"]


def test_a_service_that_does_not_come_up_gets_its_state_back(act, workload, service):
    service.ready = False
    message = fails(act, "restore", path="/a.tar")
    assert message == (
        "on what the backup holds the service does not come up (juju ssh --container pipelines "
        "pipelines/0 /charm/bin/pebble logs); what was there before has been put back"
    )
    assert workload.asked == ["prepare", "stop", "swap", "start", "stop", "undo", "start"]


def test_a_service_that_came_up_late(act, workload, service, monkeypatch):
    workload.answer("undo", error="nothing is kept that could be put back")
    service.ready = False
    start = ops.Container.start

    def up_the_second_time(container, *services):
        service.ready = workload.asked.count("start") == 1
        return start(container, *services)

    monkeypatch.setattr(ops.Container, "start", up_the_second_time)
    assert act("restore", path="/a.tar")["path"] == "/a.tar"
    assert workload.asked == ["prepare", "stop", "swap", "start", "stop", "undo", "start"]


def test_undo(act, workload):
    assert act("restore", undo=True) == {"undone": "true"}
    assert workload.asked == ["stop", "undo", "start"]


@pytest.mark.parametrize("params", [{}, {"path": "/a.tar", "undo": True}])
def test_either_a_path_or_undo(act, workload, params):
    assert fails(act, "restore", **params) == "give the path of a backup, or undo=true"
    assert workload.asked == []


@pytest.mark.parametrize("action", ["backup", "restore"])
def test_a_unit_without_state(context_for, state, container, action):
    context = context_for(1)
    after = context.run(context.on.pebble_ready(container), state)
    with pytest.raises(testing.ActionFailed, match="pipelines/1 has no state: a further unit"):
        context.run(context.on.action(action, params={"path": "/a.tar"}), after)
