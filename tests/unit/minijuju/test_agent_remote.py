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
