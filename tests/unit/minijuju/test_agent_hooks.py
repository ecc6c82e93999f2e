import asyncio

import pytest

from minijuju.errors import JujuError
from minijuju.house import House


async def test_integrate(world):
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.deploy("r", requirer, units=2)
    await world.settle()
    world.ran.clear()
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    runs = [(run.hook, run.env["JUJU_REMOTE_UNIT"]) for run in world.ran["p/0"]]
    assert runs[0] == ("out-relation-created", "")
    joined = [run for run in runs if run[0] == "out-relation-joined"]
    assert sorted(joined) == [("out-relation-joined", "r/0"), ("out-relation-joined", "r/1")]
    for hook, unit in joined:
        after = runs[runs.index((hook, unit)) + 1]
        assert after == ("out-relation-changed", unit)
    assert len(runs) == 5
    env = world.ran["p/0"][1].env
    assert env["JUJU_RELATION"] == "out"
    assert env["JUJU_RELATION_ID"] == "out:0"
    assert env["JUJU_REMOTE_APP"] == "r"


async def test_changed_for_the_application_comes_first(world):
    provider, requirer = world.make_pair()

    async def created(run):
        await run.ok("relation-set", "--app", "--file", "-", stdin="a: b\n")

    world.on("p", "out-relation-created", created)
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.settle()
    world.ran.clear()
    gate = asyncio.Event()

    async def wait(run):
        await gate.wait()

    world.on("r", "in-relation-created", wait)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.until(lambda: world.unit("p/0").local.relations[0] is not None)
    gate.set()
    await world.settle()
    runs = [(run.hook, run.env["JUJU_REMOTE_UNIT"]) for run in world.ran["r/0"]]
    assert runs == [
        ("in-relation-created", ""),
        ("in-relation-changed", ""),
        ("in-relation-joined", "p/0"),
        ("in-relation-changed", "p/0"),
    ]


async def test_remove_relation(world):
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    world.ran.clear()
    await world.call("remove_relation", model="m", endpoints=["p:out", "r:in"])
    await world.settle()
    assert world.hooks("p/0") == ["out-relation-departed", "out-relation-broken"]
    assert world.ran["p/0"][0].env["JUJU_DEPARTING_UNIT"] == "r/0"
    assert world.hooks("r/0") == ["in-relation-departed", "in-relation-broken"]
    assert world.controller.state.rows("SELECT * FROM relation") == []


async def test_a_relation_cannot_be_made_anew_before_its_last_hooks(world):
    gone = asyncio.Event()

    async def broken(run):
        await gone.wait()

    provider, requirer = world.make_pair()
    world.on("r", "in-relation-broken", broken)
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    ends = ["r:in", "p:out"]
    await world.call("integrate", model="m", endpoints=ends)
    await world.settle()
    with pytest.raises(JujuError, match=r"relation r:in p:out already exists$"):
        await world.call("integrate", model="m", endpoints=ends)
    await world.call("remove_relation", model="m", endpoints=ends)
    await world.until(lambda: "in-relation-broken" in world.hooks("r/0"))
    dying = r"relation r:in p:out is dying, but not yet removed \(already exists\)$"
    with pytest.raises(JujuError, match=dying):
        await world.call("integrate", model="m", endpoints=ends)
    gone.set()
    await world.settle()
    await world.call("integrate", model="m", endpoints=ends)
    await world.settle()


async def test_remove_a_relation_by_its_number(world):
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    ((number,),) = world.controller.state.rows("SELECT id FROM relation")
    for wrong in ("99", "p", "0" * 10):
        with pytest.raises(JujuError):
            await world.call("remove_relation", model="m", endpoints=[wrong])
    await world.call("remove_relation", model="m", endpoints=[str(number)])
    await world.settle()
    assert world.controller.state.rows("SELECT * FROM relation") == []


async def test_resolved_without_retry_skips_and_commits(world):
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    world.on("app", "config-changed", lambda run: 1)
    await world.deploy()
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    await world.call("resolved", model="m", units=["app/0"], retry=False)
    await world.settle()
    assert world.hooks("app/0") == world.SETUP


async def test_the_log_tells_of_hooks_in_juju_s_words(world, monkeypatch):
    said = []
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    monkeypatch.setattr(House, "write_log", lambda house, model, *words: said.append(words))
    way = "(via hook dispatching script: dispatch)"

    async def start(run):
        await run.ok("juju-log", "hello")
        run.say("stderr", "oh")
        return 3

    world.on("app/0", "start", start)
    await world.deploy()
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    uniter = "juju.worker.uniter.operation"
    assert ("app/0", "INFO", uniter, f'ran "install" hook {way}') in said
    assert ("app/0", "INFO", "unit.app/0.juju-log", "hello") in said
    assert ("app/0", "WARNING", "unit.app/0.start", "oh") in said
    assert said[-1] == ("app/0", "ERROR", uniter, f'hook "start" {way} failed: exit status 3')
    # A charm without a dispatch, and without a program for this hook.
    program = ["hooks/start"]
    monkeypatch.setattr(world.runtimes["app/0"], "handler", lambda path: program[0])
    await world.call("resolved", model="m", units=["app/0"])
    await world.until(lambda: "bespoke" in said[-1][3])
    assert said[-1][3] == 'hook "start" (via explicit, bespoke hook script) failed: exit status 3'
    program[0] = ""
    world.on("app/0", "start", lambda run: 0)
    await world.call("resolved", model="m", units=["app/0"])
    await world.settle()
    assert ("app/0", "INFO", uniter, 'skipped "start" hook (missing)') in said
