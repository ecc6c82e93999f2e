"""A unit's life as its charm sees it: which hooks, in which order."""

import asyncio
import sqlite3

import pytest


async def test_deploy_runs_the_setup_in_order(world):
    await world.deploy()
    await world.settle()
    assert world.hooks("app/0") == world.SETUP
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


async def test_a_second_unit_does_not_lead(world):
    await world.deploy(units=2)
    await world.settle()
    assert world.hooks("app/1") == ["install", "config-changed", "start"]


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
    _, requirer = world.make_pair()
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


async def test_leadership_moves_when_the_leader_goes(world):
    await world.deploy(units=2)
    await world.settle()
    state = world.controller.state
    with state.transaction():
        state.execute("UPDATE unit SET life='dying' WHERE name='app/0'")
        state.touch(world.uuid)
    await world.until(lambda: world.unit("app/0") is None)
    await world.until(lambda: "leader-elected" in world.hooks("app/1"))


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
    assert world.hooks("app/0") == ["install", *world.SETUP]


async def test_a_full_disk_loses_nothing(world):
    """The database refuses for a while: what is asked fails whole, hooks end up done."""
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
    assert world.hooks("app/0") == [*world.SETUP, "config-changed"]


async def test_units_run_side_by_side(world):
    together = asyncio.Barrier(3)

    async def install(run):
        async with asyncio.timeout(10):
            await together.wait()

    world.on("app", "install", install)
    await world.deploy(units=3)
    await world.settle()
