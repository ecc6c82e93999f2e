"""A unit's life as its charm sees it: which hooks, in which order, with which environment."""

import asyncio

SETUP = ["install", "leader-elected", "config-changed", "start"]


async def test_deploy_runs_the_setup_in_order(world):
    await world.deploy()
    await world.settle()
    assert world.hooks("app/0") == SETUP
    assert world.status("app/0") == ("unknown", "")
    assert world.status("app/0", "agent") == ("idle", "")


async def test_deploy_with_everything(world):
    charm = world.make_charm(
        "app",
        peers={"mates": {"interface": "mates"}},
        storage={"data": {"type": "filesystem"}},
        containers={"web": {}},
    )
    await world.deploy(charm=charm)
    await world.settle()
    hooks = world.hooks("app/0")
    assert "web-pebble-ready" in hooks
    hooks.remove("web-pebble-ready")
    assert hooks == [
        "install",
        "mates-relation-created",
        "leader-elected",
        "data-storage-attached",
        "config-changed",
        "start",
    ]
    # config-changed queues start: nothing runs between the two.
    all_hooks = world.hooks("app/0")
    assert all_hooks[all_hooks.index("config-changed") + 1] == "start"


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


async def test_a_second_unit_does_not_lead(world):
    await world.deploy(units=2)
    await world.settle()
    assert world.hooks("app/1") == ["install", "config-changed", "start"]


async def test_config_changed_only_when_it_differs(world):
    charm = world.make_charm(
        "app", config={"options": {"level": {"type": "string", "default": "a"}}}
    )
    await world.deploy(charm=charm)
    await world.settle()
    world.ran.clear()
    await world.call("config_set", model="m", application="app", settings={"level": "a"})
    await world.settle()
    assert world.hooks("app/0") == []
    await world.call("config_set", model="m", application="app", settings={"level": "b"})
    await world.settle()
    assert world.hooks("app/0") == ["config-changed"]
    await world.call("trust", model="m", application="app")
    await world.settle()
    assert world.hooks("app/0") == ["config-changed", "config-changed"]


def two_charms(world):
    provider = world.make_charm("p", provides={"out": {"interface": "i"}})
    requirer = world.make_charm("r", requires={"in": {"interface": "i"}})
    return provider, requirer


async def test_integrate(world):
    provider, requirer = two_charms(world)
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
    provider, requirer = two_charms(world)

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
    provider, requirer = two_charms(world)
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


async def test_scale_up_and_down_with_peers(world):
    charm = world.make_charm("app", peers={"mates": {"interface": "mates"}})
    await world.deploy(charm=charm)
    await world.settle()
    assert "mates-relation-joined" not in world.hooks("app/0")
    world.ran.clear()
    await world.call("add_unit", model="m", application="app", count=1)
    await world.settle()
    assert world.hooks("app/0") == ["mates-relation-joined", "mates-relation-changed"]
    assert world.hooks("app/1")[:2] == ["install", "mates-relation-created"]
    world.ran.clear()
    await world.call("scale_application", model="m", application="app", scale=1)
    await world.settle()
    assert world.unit("app/1") is None
    assert world.hooks("app/1") == ["mates-relation-departed", "stop", "remove"]
    assert world.ran["app/1"][0].env["JUJU_DEPARTING_UNIT"] == "app/1"
    assert world.hooks("app/0") == ["mates-relation-departed"]
    assert world.ran["app/0"][0].env["JUJU_DEPARTING_UNIT"] == "app/1"
    # Numbers are used again.
    await world.call("add_unit", model="m", application="app", count=1)
    await world.settle()
    assert world.unit("app/1") is not None


async def test_removal(world):
    _, requirer = two_charms(world)
    charm = world.make_charm(
        "p", provides={"out": {"interface": "i"}}, storage={"data": {"type": "filesystem"}}
    )
    await world.deploy("p", charm)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    world.ran.clear()
    folder = world.path / "data/storage"
    assert list(folder.glob("*/data-0"))
    await world.call("remove_application", model="m", applications=["p"], destroy_storage=True)
    await world.settle()
    assert world.hooks("p/0") == [
        "data-storage-detaching",
        "out-relation-departed",
        "out-relation-broken",
        "stop",
        "remove",
    ]
    assert world.ran["p/0"][1].env["JUJU_DEPARTING_UNIT"] == "p/0"
    assert world.hooks("r/0") == ["in-relation-departed", "in-relation-broken"]
    status = await world.call("status", model="m")
    assert set(status["applications"]) == {"r"}
    await world.until(lambda: not list(folder.glob("*/data-0")))


async def test_storage_is_kept_and_attached_again(world):
    charm = world.make_charm("app", storage={"data": {"type": "filesystem"}})
    await world.deploy(charm=charm, units=2)
    await world.settle()
    before = world.controller.state.row("SELECT id FROM storage WHERE unit='app/1'")[0]
    await world.call("scale_application", model="m", application="app", scale=1)
    await world.settle()
    await world.call("scale_application", model="m", application="app", scale=2)
    await world.settle()
    after = world.controller.state.row("SELECT id FROM storage WHERE unit='app/1'")[0]
    assert before == after


async def test_refresh(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.settle()
    world.ran.clear()
    await world.call("refresh", model="m", application="app", path=str(charm))
    await world.settle()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    hooks = world.hooks("app/0")
    hooks.remove("web-pebble-ready")
    assert hooks == ["stop", "upgrade-charm", "config-changed", "start"]


async def test_leadership_moves_when_the_leader_goes(world):
    await world.deploy(units=2)
    await world.settle()
    state = world.controller.state
    with state.transaction():
        state.execute("UPDATE unit SET life='dying' WHERE name='app/0'")
        state.touch(world.uuid)
    await world.until(lambda: world.unit("app/0") is None)
    await world.until(lambda: "leader-elected" in world.hooks("app/1"))


async def test_a_failing_hook_is_retried(world):
    tries = []

    def install(run):
        tries.append(run)
        return 1 if len(tries) < 3 else 0

    world.on("app", "install", install)
    await world.deploy()
    await world.settle()
    assert world.hooks("app/0") == ["install"] * 3 + SETUP[1:]


async def test_an_error_is_shown_as_juju_shows_it(world):
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    world.on("app", "config-changed", lambda run: 1)
    await world.deploy()
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    status = await world.call("status", model="m")
    unit = status["applications"]["app"]["units"]["app/0"]
    assert unit["workload-status"]["current"] == "error"
    assert unit["workload-status"]["message"] == 'hook failed: "config-changed"'
    assert unit["juju-status"]["current"] == "idle"
    assert status["applications"]["app"]["application-status"]["current"] == "error"
    # Without automatic retries it waits for the user.
    ran = len(world.ran["app/0"])
    await asyncio.sleep(0.1)
    assert len(world.ran["app/0"]) == ran
    world.on("app", "config-changed", lambda run: 0)
    await world.call("resolved", model="m", units=["app/0"])
    await world.settle()
    assert world.hooks("app/0") == [*SETUP[:3], "config-changed", "start"]


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


async def test_resolved_without_retry_skips_and_commits(world):
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    world.on("app", "config-changed", lambda run: 1)
    await world.deploy()
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    await world.call("resolved", model="m", units=["app/0"], retry=False)
    await world.settle()
    assert world.hooks("app/0") == SETUP


async def test_a_hook_that_hangs_is_killed_by_resolved(world):
    async def hang(run):
        if len(world.hooks("app/0")) == 1:
            await asyncio.Event().wait()

    world.on("app", "install", hang)
    await world.deploy()
    await world.until(lambda: world.hooks("app/0") == ["install"])
    await world.call("resolved", model="m", units=["app/0"])
    await world.settle()
    assert world.hooks("app/0") == ["install", *SETUP]


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
    provider, requirer = two_charms(world)
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


async def test_update_status(world):
    await world.call(
        "model_config", model="m", set={"update-status-hook-interval": "50ms"}, reset=[]
    )
    await world.deploy()
    await world.until(lambda: world.hooks("app/0").count("update-status") >= 2)
    assert world.hooks("app/0")[:4] == SETUP


async def test_a_hook_that_was_cut_off_runs_again(world):
    async def hang(run):
        if len(world.hooks("app/0")) == 1:
            await asyncio.Event().wait()

    world.on("app", "install", hang)
    await world.deploy()
    await world.until(lambda: world.hooks("app/0") == ["install"])
    await world.crash()
    await world.start()
    await world.settle()
    assert world.hooks("app/0") == ["install", *SETUP]


async def test_a_secret_that_a_unit_may_read_no_longer_keeps_no_hook_failing(world):
    await world.deploy()
    await world.settle()
    uri = await world.call("add_secret", model="m", name="s", content={"key": "one"})
    await world.call("grant_secret", model="m", secret="s", applications=["app"])
    done = await world.call("exec", model="m", units=["app/0"], command=["secret-get", uri])
    assert done["app/0"]["status"] == "completed"

    async def read(run):
        code, _, _ = await run.tool("secret-get", "--refresh", uri)
        return code

    world.on("app", "secret-changed", lambda run: 1)
    await world.call("update_secret", model="m", secret="s", content={"key": "two"})
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    world.on("app", "secret-changed", read)
    await world.call("revoke_secret", model="m", secret="s", applications=["app"])
    await world.settle()
    assert world.status("app/0", "agent")[0] == "idle"


async def test_pods_are_adopted_after_a_crash(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.settle()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    boots = world.boots
    await world.crash()
    await world.start()
    await world.settle()
    assert world.boots == boots
    assert world.hooks("app/0") == []


async def test_start_runs_again_in_a_new_pod(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    await world.stop(stop_pods=True)
    assert not world.pods
    await world.start()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    assert sorted(world.hooks("app/0")) == ["start", "web-pebble-ready"]
    assert world.hooks("app/0")[0] == "start"


async def test_start_runs_in_a_new_pod_whose_controller_died_before_it_could_say_so(world):
    await world.deploy(charm=world.make_charm("app", containers={"web": {}}))
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    await world.crash()
    world.pods.clear()
    world.ran.clear()
    begun = asyncio.Event()

    async def dies(runtime):
        await genuine(runtime)
        begun.set()
        await asyncio.Event().wait()

    runtime = world.runtimes["app/0"]
    genuine = type(runtime).start
    type(runtime).start = dies
    try:
        await world.start()
        await begun.wait()
        await world.crash()
    finally:
        type(runtime).start = genuine
    await world.start()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    assert world.hooks("app/0") == ["start", "web-pebble-ready"]


async def test_pods_of_units_that_are_gone_are_swept(world):
    await world.deploy()
    await world.settle()
    await world.crash()
    import sqlite3

    connection = sqlite3.connect(world.path / "data/state.db")
    connection.execute("DELETE FROM unit")
    connection.commit()
    connection.close()
    await world.start()
    assert not world.pods


async def test_a_pod_that_cannot_start_says_why_and_is_tried_again(world):
    world.refuse = "no room"
    await world.deploy()
    await world.until(lambda: world.status("app/0")[0] == "blocked")
    assert "no room" in world.status("app/0")[1]
    world.refuse = ""
    await world.settle()
    assert world.hooks("app/0") == SETUP


async def test_destroy_model(world):
    provider, requirer = two_charms(world)
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    await world.call("destroy_model", model="m", destroy_storage=True)
    assert (await world.call("models"))["models"] == []
    assert not world.pods


async def test_a_full_disk_loses_nothing(world):
    """The database refuses for a while: what is asked fails whole, hooks end up done."""
    import sqlite3

    import pytest

    charm = world.make_charm("app", config={"options": {"n": {"type": "string", "default": ""}}})
    await world.deploy(charm=charm)
    await world.settle()
    state = world.controller.state
    pages = state.row("PRAGMA page_count")[0]
    state.row(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await world.call(
            "config_set", model="m", application="app", settings={"n": "x" * 1_000_000}
        )
    assert (await world.call("config_get", model="m", application="app"))["settings"]["n"][
        "value"
    ] == ""
    state.row("PRAGMA max_page_count=1073741823")
    await world.call("config_set", model="m", application="app", settings={"n": "y"})
    await world.settle()
    assert world.hooks("app/0") == [*SETUP, "config-changed"]


async def test_config_of_a_wrong_kind_changes_nothing(world):
    import pytest

    from minijuju.errors import BadRequestError, NotFoundError

    charm = world.make_charm("app", config={"options": {"n": {"type": "int", "default": 1}}})
    with pytest.raises(BadRequestError, match="expected int"):
        await world.deploy(charm=charm, config={"n": "many"})
    with pytest.raises(BadRequestError, match="unknown option"):
        await world.deploy(charm=charm, config={"m": 1})
    assert (await world.call("status", model="m"))["applications"] == {}
    await world.deploy(charm=charm)
    await world.settle()
    with pytest.raises(BadRequestError, match="expected int"):
        await world.call("config_set", model="m", application="app", settings={"n": "many"})
    with pytest.raises(NotFoundError):
        await world.call("config_set", model="m", application="none", settings={"n": 1})
    with pytest.raises(BadRequestError, match="not in an"):
        await world.call("resolved", model="m", units=["app/0"])


async def test_integrating_what_does_not_fit(world):
    import pytest

    from minijuju.errors import AlreadyExistsError, JujuError

    provider, requirer = two_charms(world)
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    for ends in (["p", "p"], ["p:none", "r"], ["p:out", "r:out"], ["p", "nobody"]):
        with pytest.raises(JujuError):
            await world.call("integrate", model="m", endpoints=ends)
    await world.call("integrate", model="m", endpoints=["p", "r"])
    with pytest.raises(AlreadyExistsError):
        await world.call("integrate", model="m", endpoints=["r", "p"])


async def test_a_refresh_out_of_an_error(world):
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    broken = [True]
    world.on("app", "config-changed", lambda run: 1 if broken else 0)
    charm = world.make_charm("app")
    await world.deploy(charm=charm)
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    broken.clear()
    await world.call("refresh", model="m", application="app", path=str(charm))
    await world.settle()
    # The hook that failed is tried with the new charm; nothing tells of the upgrade.
    assert world.hooks("app/0") == [*SETUP[:3], "config-changed", "start"]


async def test_actions_run_in_a_hook_error(world):
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    world.on("app", "config-changed", lambda run: 1)
    charm = world.make_charm("app", actions={"act": {}})
    await world.deploy(charm=charm)
    await world.until(lambda: world.status("app/0", "agent")[0] == "error")
    result = await world.call("run", model="m", units=["app/0"], action="act")
    assert result["app/0"]["status"] == "completed"
    assert world.status("app/0", "agent")[0] == "error"


async def test_units_run_side_by_side(world):
    together = asyncio.Barrier(3)

    async def install(run):
        async with asyncio.timeout(10):
            await together.wait()

    world.on("app", "install", install)
    await world.deploy(units=3)
    await world.settle()


async def test_names_reach_every_pod(world):
    provider, requirer = two_charms(world)
    await world.deploy("p", provider)
    await world.settle()
    await world.deploy("r", requirer)
    await world.settle()
    address = world.unit("r/0").address
    await world.until(lambda: address in world.runtimes["p/0"].hosts)
    status = await world.call("status", model="m")
    assert status["applications"]["r"]["address"] in world.runtimes["p/0"].hosts


async def test_custom_notices_and_checks(world):
    from minijuju.workload import WorkloadEvent

    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    queue = world.runtimes["app/0"].queue
    queue.put_nowait(
        WorkloadEvent(
            "custom-notice", "web", notice_id="9", notice_type="custom", notice_key="a.b/c"
        )
    )
    queue.put_nowait(WorkloadEvent("check-failed", "web", check_name="up"))
    queue.put_nowait(WorkloadEvent("check-recovered", "web", check_name="up"))
    await world.until(lambda: len(world.ran["app/0"]) == 3)
    await world.settle()
    notice, failed, recovered = world.ran["app/0"]
    assert notice.hook == "web-pebble-custom-notice"
    assert notice.env["JUJU_WORKLOAD_NAME"] == "web"
    assert (notice.env["JUJU_NOTICE_ID"], notice.env["JUJU_NOTICE_TYPE"]) == ("9", "custom")
    assert notice.env["JUJU_NOTICE_KEY"] == "a.b/c"
    assert failed.hook == "web-pebble-check-failed"
    assert failed.env["JUJU_PEBBLE_CHECK_NAME"] == "up"
    assert recovered.hook == "web-pebble-check-recovered"


async def test_the_log_tells_of_hooks_in_juju_s_words(world, monkeypatch):
    from minijuju.house import House

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
