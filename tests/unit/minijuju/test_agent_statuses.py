import asyncio


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
    assert world.hooks("app/0") == [*world.SETUP[:3], "config-changed", "start"]
