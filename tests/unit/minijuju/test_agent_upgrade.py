import pytest

from minijuju.errors import BadRequestError


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
    assert world.hooks("app/0") == [*world.SETUP[:3], "config-changed", "start"]


def charm_with(world, **storage):
    return str(world.make_charm("app", storage=storage))


async def refresh(world, charm, **more):
    await world.call("refresh", model="m", application="app", path=charm, **more)
    await world.settle()


async def storages(world):
    found = await world.call("storage", model="m")
    return sorted(name.partition("/")[0] for name in found.get("storage", {}))


async def test_a_refresh_does_not_lose_storage_that_is_in_use(world):
    data = {"type": "filesystem"}
    many = {"type": "filesystem", "multiple": {"range": "0-3"}}
    await world.deploy(charm=charm_with(world, data=data, many=many), storage={"many": "2"})
    await world.settle()
    for left, problem in (({"data": data}, "in-use"), ({"many": many}, "required")):
        with pytest.raises(BadRequestError, match=f"{problem} storage"):
            await refresh(world, charm_with(world, **left))
    assert await storages(world) == ["data", "many", "many"]
    assert world.hooks("app/0").count("stop") == 0


async def test_a_refresh_gives_units_the_storage_that_comes(world):
    old = {"type": "filesystem", "multiple": {"range": "1-"}}
    await world.deploy(charm=charm_with(world, old=old))
    await world.settle()
    more = {"type": "filesystem", "multiple": {"range": "2-"}}
    optional = {"type": "filesystem", "multiple": {"range": "0-"}}
    charm = charm_with(world, old=more, new=optional)
    with pytest.raises(BadRequestError, match="2 instances required, 1 specified"):
        await refresh(world, charm)
    await refresh(world, charm, storage={"old": "3", "new": "2"})
    # Of what was there, what the charm needs at least; new units get what was asked for.
    assert await storages(world) == ["new", "new", "old", "old"]
    await world.call("add_unit", model="m", application="app", count=1)
    await world.settle()
    assert await storages(world) == ["new"] * 4 + ["old"] * 5
