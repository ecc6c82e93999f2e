import asyncio

from minijuju import execution


async def test_the_environment(world):
    charm = world.make_charm("app", storage={"data": {"type": "filesystem", "location": "/d"}})
    await world.deploy(charm=charm)
    await world.settle()
    runs = {run.hook: run.env for run in world.ran["app/0"]}
    env = runs["install"]
    assert env["JUJU_UNIT_NAME"] == "app/0"
    assert env["JUJU_MODEL_NAME"] == "m"
    assert env["JUJU_HOOK_NAME"] == "install"
    assert env["JUJU_DISPATCH_PATH"] == "hooks/install"
    assert env["JUJU_CHARM_DIR"] == "/var/lib/juju/agents/unit-app-0/charm"
    assert env["JUJU_VERSION"].startswith("3.6.")
    stored = runs["data-storage-attached"]
    assert stored["JUJU_STORAGE_ID"] == "data/0"
    assert stored["JUJU_STORAGE_LOCATION"] == "/d"
    assert stored["JUJU_STORAGE_KIND"] == "filesystem"


async def test_a_model_may_have_its_hooks_start_cold(world):
    await world.deploy()
    await world.settle()
    assert {run.warm for run in world.ran["app/0"]} == {True}
    world.ran.clear()
    settings = {"hook-warm-start": "false"}
    await world.call("model_config", model="m", set=settings, reset=[])
    await world.call("trust", model="m", application="app")
    await world.settle()
    assert [run.warm for run in world.ran["app/0"]] == [False]


async def test_a_hook_that_hangs_is_killed_by_resolved(world):
    async def hang(run):
        if len(world.hooks("app/0")) == 1:
            await asyncio.Event().wait()

    world.on("app", "install", hang)
    await world.deploy()
    await world.until(lambda: world.hooks("app/0") == ["install"])
    await world.call("resolved", model="m", units=["app/0"])
    await world.settle()
    assert world.hooks("app/0") == ["install", *world.SETUP]


async def test_force_removes_a_unit_whose_hook_hangs(world):
    async def hang(run):
        await asyncio.Event().wait()

    world.on("app", "install", hang)
    await world.deploy()
    await world.until(lambda: world.hooks("app/0") == ["install"])
    await world.call("remove_application", model="m", applications=["app"], force=True)
    await world.until(lambda: world.controller.state.rows("SELECT * FROM application") == [])
    await world.until(lambda: not world.controller.agents)
    assert not world.pods


async def test_writes_of_a_failed_hook_vanish(world):
    provider, requirer = world.make_pair()
    fail = [True]

    async def created(run):
        await run.ok("relation-set", "--file", "-", stdin=f"n: '{len(fail)}'\n")
        await run.ok("state-set", "--file", "-", stdin="k: v\n")
        await run.ok("open-port", "80/tcp")
        await run.ok("status-set", "--application=False", "blocked", "--", "told")
        assert (await run.ok("relation-get", "--format=json", "-", "p/0"))["n"]
        assert await run.ok("opened-ports", "--format=json") == ["80/tcp"]
        assert await run.ok("state-get", "--format=json") == {"k": "v"}
        return 1 if fail.pop() else 0

    world.on("p", "out-relation-created", created)
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.settle()
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.until(lambda: world.status("p/0", "agent")[0] == "error")
    assert "n" not in world.bag(0, "p/0")
    assert world.unit("p/0").charm_state == {}
    assert world.unit("p/0").ports == ()
    # A status is set at once, whatever becomes of the hook.
    assert world.status("p/0") == ("blocked", "told")
    fail.append(False)
    await world.call("resolved", model="m", units=["p/0"])
    await world.settle()
    assert world.bag(0, "p/0")["n"] == "1"
    assert world.unit("p/0").charm_state == {"k": "v"}


async def test_a_commit_that_is_refused_fails_the_hook(world):
    """The leader's right to write is gone by the time the hook ends."""
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    charm = world.make_charm("app", peers={"mates": {"interface": "mates"}})

    async def changed(run):
        await run.ok("relation-set", "-r", "mates:0", "--app", "--file", "-", stdin="a: b\n")
        state = world.controller.state
        with state.transaction():
            state.execute("UPDATE application SET leader=''")

    world.on("app", "config-changed", changed)
    await world.deploy(charm=charm)
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    assert world.bag(0, "app") is None


async def test_a_hook_with_too_many_processes_says_so(world):
    async def many(run):
        if len(world.hooks("app/0")) == 1:
            raise execution.CrowdedError(world.runtimes["app/0"].processes)

    world.on("app", "install", many)
    settings = {"automatically-retry-hooks": "false", "unit-processes": "100"}
    await world.call("model_config", model="m", set=settings, reset=[])
    await world.deploy()
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    log = world.controller.house.log(world.uuid).read()
    (text,) = [line["message"] for line in log if "failed" in line["message"]]
    assert "unit app/0 has reached 100 processes and threads in a container" in text
    assert "juju model-config unit-processes=N allows more" in text
    await world.call("resolved", model="m", units=["app/0"])
    await world.settle()
