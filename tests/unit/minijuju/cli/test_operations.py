"""Actions that there are, and what became of those that were run."""

import json

import pytest
import yaml

ACTIONS = {
    "backup": {
        "description": "Make a backup.\nWith care.",
        "schema": {"title": "backup", "properties": {"where": {"type": "string"}}},
    },
    "list": {"description": "", "schema": {"title": "list", "properties": {}}},
}
OPERATION = {
    "summary": "backup run on unit-db-0",
    "status": "completed",
    "action": {"name": "backup", "parameters": {}},
    "timing": {
        "enqueued": "2026-01-01 00:00:00 +0000 UTC",
        "started": "2026-01-01 00:00:01 +0000 UTC",
        "completed": "2026-01-01 00:00:02 +0000 UTC",
    },
    "tasks": {"2": {"host": "db/0", "status": "completed", "results": {"a": "b"}, "log": ["x"]}},
}
EXEC = {
    "summary": "juju-exec run on unit-app-0,unit-app-1",
    "status": "running",
    "action": {"name": "juju-exec", "parameters": {"command": "true"}},
    "timing": {},
    "tasks": {
        "4": {"host": "app/0", "status": "running"},
        "5": {"host": "app/1", "status": "pending"},
    },
}


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


@pytest.fixture
def known(fake):
    fake.answers["actions"] = ACTIONS
    fake.answers["operations"] = {"1": OPERATION, "3": EXEC}
    fake.answers["show_operation"] = {"1": OPERATION}
    return fake


def test_actions(run, known):
    assert run("actions", "db").out == ("Action  Description\nbackup  Make a backup.\nlist\n")
    assert json.loads(run("list-actions", "db", "--format", "json").out) == {
        "backup": "Make a backup.\nWith care.",
        "list": "",
    }
    assert yaml.safe_load(run("actions", "db", "--schema").out) == {
        name: action["schema"] for name, action in ACTIONS.items()
    }
    known.answers["actions"] = {}
    assert run("actions", "db").err == "No actions defined for db.\n"


def test_show_action(run, known):
    assert run("show-action", "db", "backup").out == (
        "Make a backup.\nWith care.\n\nArguments\nwhere:\n  type: string\n"
    )
    found = yaml.safe_load(run("show-action", "db", "backup", "--format", "yaml").out)
    assert found == {"backup": ACTIONS["backup"]["schema"]}
    assert run("show-action", "db", "none").err == 'ERROR unknown action "none"\n'
    red = {**ACTIONS["backup"], "description": "\x1b[31mRed\x9b1m\u202e\n\tand more"}
    known.answers["actions"] = {"backup": red}
    shown = run("show-action", "db", "backup").out
    assert shown.startswith("\\x1b[31mRed\\x9b1m\\u202e\n\tand more\n")


def test_operations(run, known):
    lines = run("operations").out.splitlines()
    assert lines[0].split() == ["ID", "Status", "Started", "Finished", "Task", "IDs", "Summary"]
    assert lines[1].startswith("1   completed  2026-01-01T00:00:01  2026-01-01T00:00:02  2")
    assert lines[2].split()[:3] == ["3", "running", "4,5"]
    shown = json.loads(run("operations", "--format", "json", "--units", "db/0,app/1").out)
    # What a task said can be long: show-operation has it.
    assert shown["1"]["tasks"] == {"2": {"host": "db/0", "status": "completed"}}
    assert list(shown["3"]["tasks"]) == ["5"]
    known.answers["operations"]["3"]["tasks"] |= {
        str(number): EXEC["tasks"]["4"] for number in range(6, 12)
    }
    assert "4,5,6,7,8..." in run("operations").out


def test_operations_by_the_page(run, known):
    known.answers["operations"] = {str(number): OPERATION for number in range(1, 62)}
    lines = run("operations").out.splitlines()
    assert lines[0] == "Displaying operation results 1 to 50."
    assert "--offset=50 --limit=50 to see the next batch." in lines[1]
    assert lines[-1].split()[0] == "50"
    last = run("operations", "--offset", "50").out.splitlines()
    assert (last[0], last[-1].split()[0]) == ("Displaying operation results 51 to 61.", "61")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--status", "done"], '"done" is not a valid task status, want one of [pending running'),
        (["--units", "db"], 'invalid unit name "db"'),
    ],
)
def test_operations_refuses(run, fake, argv, problem):
    result = run("operations", *argv)
    assert (result.code, problem in result.err) == (2, True)
    assert fake.calls == []


@pytest.mark.parametrize(
    ("argv", "ids"),
    [
        ([], ["1", "3"]),
        (["--limit", "1"], ["1"]),
        (["--limit", "1", "--offset", "1"], ["3"]),
        (["--status", "completed,failed"], ["1"]),
        (["--units", "app/0"], ["3"]),
        (["--apps", "db", "--actions", "backup"], ["1"]),
        (["--actions", "juju-exec"], ["3"]),
    ],
)
def test_operations_are_chosen(run, known, argv, ids):
    assert list(json.loads(run("operations", "--format", "json", *argv).out)) == ids


def test_no_operations(run, known):
    for argv in (["--apps", "none"], ["--format", "json", "--apps", "none"]):
        result = run("operations", *argv)
        assert (result.code, result.out, result.err) == (0, "", "no matching operations\n")


def test_show_operation(run, known):
    assert yaml.safe_load(run("show-operation", "1", "--wait", "30s").out) == OPERATION
    assert known.params("show_operation") == {"model": "m", "operation": 1, "timeout": 30.0}
    result = run("show-operation", "x")
    assert (result.code, result.err) == (2, 'ERROR operation ID "x" not valid\n')


@pytest.mark.parametrize(
    ("argv", "timeout"),
    [
        ([], 0.0),
        (["--wait=-1s"], 0.0),
        (["--wait", "0s"], -1.0),
        (["--watch"], -1.0),
        (["--wait", "1m"], 60.0),
    ],
)
@pytest.mark.parametrize("verb", ["show-operation", "show-task"])
def test_how_long_is_waited(run, known, verb, argv, timeout):
    known.answers["show_task"] = {"id": "2", "status": "pending", "unit": "db/0"}
    assert run(verb, "1", *argv).code == 0
    assert known.params(verb.replace("-", "_"))["timeout"] == timeout
    result = run(verb, "1", "--watch", "--wait", "1s")
    assert (result.code, "either --watch or --wait" in result.err) == (2, True)


def test_show_task(run, known):
    document = {"id": "2", "status": "completed", "unit": "db/0", "results": {"a": "b"}}
    known.answers["show_task"] = document
    assert run("show-task", "2").out == "a: b\n\n"
    assert json.loads(run("show-task", "2", "--format", "json").out) == document
    del document["results"]
    known.answers["show_task"] = {**document, "status": "pending"}
    assert run("show-task", "2").out == "Task 2 pending\n\n"
    assert known.params("show_task") == {"model": "m", "task": 2, "timeout": 0.0}


def test_cancel_task(run, known):
    timing = {"enqueued": "2026-01-01 00:00:00 +0000 UTC"}
    ended = {**timing, "completed": "2026-01-01 00:00:01 +0000 UTC"}
    task = {"action": "backup", "unit": "db/0"}
    known.answers["cancel_task"] = {
        "4": {"id": "4", "status": "cancelled", "timing": ended, **task},
        "6": {"id": "6", "status": "aborting", "timing": timing, **task},
        "8": {"error": "task 8 not found"},
    }
    result = run("cancel-task", "4", "6", "8")
    assert yaml.safe_load(result.out) == {
        "actions": [
            {**task, "id": "4", "status": "cancelled", "completed at": "2026-01-01 00:00:01"},
            {**task, "id": "6", "status": "aborting", "completed at": "n/a"},
        ]
    }
    assert result.code == 0
    assert "could not be canceled:\ntask: 8, error: task 8 not found\n" in result.err
    assert known.params("cancel_task") == {"model": "m", "ids": [4, 6, 8]}
    assert run("cancel-task", "x").code == 2
