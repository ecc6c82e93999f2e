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
