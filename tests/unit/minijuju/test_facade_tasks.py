"""Actions, operations and tasks, asked of a whole controller."""

import asyncio

import pytest

from minijuju.errors import NotFoundError, TimedOutError

ACTIONS = {"go": {"description": "Go.", "params": {"n": {"type": "integer", "default": 1}}}}


@pytest.fixture
async def ready(world):
    await world.deploy(charm=world.make_charm(actions=ACTIONS), units=2)
    await world.settle()
    return world


async def test_actions(ready):
    found = await ready.call("actions", model="m", application="app")
    assert found["go"]["description"] == "Go."
    assert found["go"]["schema"]["properties"] == {"n": {"type": "integer", "default": 1}}


async def test_an_operation_has_a_task_for_each_unit(ready):
    units = ["app/0", "app/1"]
    results = await ready.call("run", model="m", units=units, action="go")
    assert {unit: result["id"] for unit, result in results.items()} == {"app/0": "2", "app/1": "3"}
    found = await ready.call("operations", model="m")
    ((number, operation),) = found.items()
    assert number == "1"
    assert operation["summary"] == "go run on unit-app-0,unit-app-1"
    assert operation["status"] == "completed"
    assert operation["action"] == {"name": "go", "parameters": {"n": 1}}
    assert set(operation["timing"]) == {"enqueued", "started", "completed"}
    assert {key: task["host"] for key, task in operation["tasks"].items()} == {
        "2": "app/0",
        "3": "app/1",
    }
    assert await ready.call("show_operation", model="m", operation=1) == found
    task = await ready.call("show_task", model="m", task=2)
    assert task == results["app/0"]
    await ready.call("exec", model="m", units=["app/0"], command=["is-leader"])
    found = await ready.call("operations", model="m")
    assert list(found) == ["1", "4"]
    assert found["4"]["summary"] == "juju-exec run on unit-app-0"
    assert found["4"]["action"] == {
        "name": "juju-exec",
        "parameters": {"command": "is-leader", "timeout": 300_000_000_000},
    }


async def test_the_leader_and_all_units_are_found(ready):
    results = await ready.call("run", model="m", units=["app/leader"], action="go")
    assert list(results) == ["app/0"]
    results = await ready.call("exec", model="m", units=[], command=["x"], applications=["app"])
    assert list(results) == ["app/0", "app/1"]
    with pytest.raises(NotFoundError, match="none"):
        await ready.call("exec", model="m", units=[], applications=["none"], command=["x"])


async def test_what_cannot_be_scheduled_is_told_and_the_rest_is_run(ready):
    results = await ready.call("run", model="m", units=["app/0", "app/9"], action="go")
    assert list(results) == ["app/0"]
    shown = (await ready.call("show_operation", model="m", operation=1))["1"]
    assert (shown["status"], list(shown["tasks"])) == ("error", ["2"])
    assert "unit 'app/9' not found" in shown["error"]
    for units, action, params in (
        (["app/9"], "go", {}),
        (["none/leader"], "go", {}),
        (["app/0", "app/1"], "none", {}),
        (["app/0"], "go", {"n": "text"}),
    ):
        asked = {"units": units, "action": action, "params": params}
        assert await ready.call("run", model="m", **asked) == {}
    shown = await ready.call("operations", model="m")
    assert [one["status"] for one in shown.values()] == ["error"] * 5
    assert shown["4"]["error"] == (
        'error(s) enqueueing action(s): could not determine leader for "none"'
    )
    assert ready.hooks("app/0").count("go") == 1


async def test_a_wait_runs_out_and_the_task_goes_on(ready):
    gate = asyncio.Event()
    ready.on("app/1", "go", lambda run: gate.wait())
    units = ["app/0", "app/1"]
    with pytest.raises(TimedOutError, match=r"^timed out waiting for results from: unit app/1$"):
        await ready.call("run", model="m", units=units, action="go", timeout=0.5)
    with pytest.raises(TimedOutError, match=r"^maximum wait time reached$"):
        await ready.call("show_task", model="m", task=3, timeout=0.1)
    with pytest.raises(TimedOutError, match=r"^timeout reached$"):
        await ready.call("show_operation", model="m", operation=1, timeout=0.1)
    shown = (await ready.call("show_operation", model="m", operation=1))["1"]
    assert shown["status"] == "running"
    assert {key: task["status"] for key, task in shown["tasks"].items()} == {
        "2": "completed",
        "3": "running",
    }
    waiting = asyncio.create_task(ready.call("show_operation", model="m", operation=1, timeout=-1))
    gate.set()
    assert (await waiting)["1"]["status"] == "completed"


async def test_the_log_is_told_as_it_grows(ready):
    told = asyncio.Event()

    async def act(run):
        await run.ok("action-log", "first")
        await told.wait()
        await run.ok("action-log", "second")

    ready.on("app/0", "go", act)
    heard = []

    class Listener:
        def progress(self, text):
            heard.append(text)
            if text.endswith(" first"):
                told.set()

    done = await ready.api.run(Listener(), "m", ["app/0"], "go")
    assert len(done["app/0"]["log"]) == 2
    begun = ["Running operation 1 with 1 task", "  - task 2 on unit-app-0", ""]
    assert heard[:4] == [*begun, "Waiting for task 2...\n"]
    assert [line[8:] for line in heard[4:6]] == [" first", " second"]
    assert heard[6:] == ["\n"]


async def test_in_the_background_and_waited_for(ready):
    gate = asyncio.Event()
    ready.on("app", "go", lambda run: gate.wait())
    made = await ready.call("run", model="m", units=["app/0"], action="go", background=True)
    assert made == {"operation": "1", "tasks": {"app/0": {"id": "2"}}}
    waiting = asyncio.create_task(ready.call("show_task", model="m", task=2, timeout=20.0))
    await ready.until(
        lambda: ready.controller.state.row("SELECT status FROM task")[0] == "running"
    )
    assert not waiting.done()
    gate.set()
    assert (await waiting)["status"] == "completed"
    shown = await ready.call("show_operation", model="m", operation=1, timeout=20.0)
    assert shown["1"]["status"] == "completed"


async def test_what_is_cancelled(ready):
    gate = asyncio.Event()
    ready.on("app", "go", lambda run: gate.wait())
    for _ in range(2):
        await ready.call("run", model="m", units=["app/0"], action="go", background=True)
    await ready.until(
        lambda: ready.controller.state.row("SELECT status FROM task")[0] == "running"
    )
    done = await ready.call("cancel_task", model="m", ids=[2, 4, 9])
    assert done["9"] == {"error": "task 9 not found"}
    assert (done["2"]["action"], done["2"]["status"]) == ("go", "aborting")
    assert (done["4"]["status"], done["4"]["message"]) == (
        "cancelled",
        "action cancelled via the API",
    )
    await ready.settle()
    # Neither is run, again or at all.
    assert ready.hooks("app/0").count("go") == 1
    ended = await ready.call("show_task", model="m", task=2, timeout=20.0)
    assert (ended["status"], ended["message"]) == ("aborted", "signal: killed")
    assert ended["results"]["return-code"] == 137
    again = await ready.call("cancel_task", model="m", ids=[2])
    assert again["2"]["status"] == "aborted"
    shown = await ready.call("operations", model="m")
    assert [one["status"] for one in shown.values()] == ["aborted", "cancelled"]


async def test_a_task_that_ends_well_while_it_is_cancelled_has_ended_well(ready):
    from minijuju import tasks

    async def act(run):
        state = ready.controller.state
        with state.transaction():
            tasks.cancel(state, tasks.get(state, ready.uuid, 2))

    ready.on("app/0", "go", act)
    done = await ready.call("run", model="m", units=["app/0"], action="go")
    assert done["app/0"]["status"] == "completed"


async def test_an_action_that_says_that_it_failed(ready):
    async def act(run):
        await run.ok("action-fail", "not today")

    async def worse(run):
        await act(run)
        return 3

    for handler, message, code in ((act, "not today", 0), (worse, "exit status 3", 3)):
        ready.on("app/0", "go", handler)
        task = (await ready.call("run", model="m", units=["app/0"], action="go"))["app/0"]
        assert (task["status"], task["message"]) == ("failed", message)
        assert task["results"]["return-code"] == code


async def test_an_action_whose_writes_are_refused(ready):
    async def act(run):
        await run.ok("secret-add", "abc=one", "--label", "l")

    ready.on("app/0", "go", act)
    await ready.call("run", model="m", units=["app/0"], action="go")
    task = (await ready.call("run", model="m", units=["app/0"], action="go"))["app/0"]
    assert (task["status"], task["message"]) == ("failed", "committing requested changes failed")
    assert task["results"]["return-code"] == 1
    assert "already exists" in task["results"]["stderr"]


async def test_what_a_removed_unit_was_asked_for_is_cancelled(ready):
    gate = asyncio.Event()
    ready.on("app/1", "go", lambda run: gate.wait())
    for _ in range(2):
        await ready.call("run", model="m", units=["app/1"], action="go", background=True)
    await ready.call("remove_application", model="m", applications=["app"], force=True)
    await ready.until(lambda: not ready.controller.state.rows("SELECT 1 FROM unit"))
    gate.set()
    task = await ready.call("show_task", model="m", task=4)
    assert (task["status"], task["message"]) == ("cancelled", "unit removed")


async def test_a_log_has_a_limit(ready):
    from minijuju import tasks

    await ready.call("run", model="m", units=["app/0"], action="go")
    state = ready.controller.state
    with state.transaction():
        for number in range(tasks.MAX_LOG + 5):
            tasks.log(state, tasks.get(state, ready.uuid, 2), f"{number}\n")
    task = tasks.get(state, ready.uuid, 2)
    assert len(task.log) == tasks.MAX_LOG + 1


async def test_what_there_is_not(ready):
    with pytest.raises(NotFoundError, match="task 9 not found"):
        await ready.call("show_task", model="m", task=9)
    with pytest.raises(NotFoundError, match='operation "9" not found'):
        await ready.call("show_operation", model="m", operation=9)


async def test_operations_go_with_their_tasks(ready):
    from minijuju import operations, tasks

    await ready.call("run", model="m", units=["app/0"], action="go")
    state = ready.controller.state
    with state.transaction():
        tasks.prune(state, ready.uuid, -10)
    assert operations.every(state, ready.uuid) == []
