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
