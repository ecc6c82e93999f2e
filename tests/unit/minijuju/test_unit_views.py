"""What a cluster is to show of units."""

from minijuju import unit_views


async def test_a_view_follows_the_units(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy("app", charm, units=2)
    await world.settle()
    state = world.controller.state
    assert list(unit_views.every(state)) == [(world.uuid, "app")]

    async def open_port(run):
        await run.ok("open-port", "8080")

    world.on("app/0", "config-changed", open_port)
    await world.call("trust", model="m", application="app")
    await world.settle()
    view = unit_views.view(state, world.uuid, "app")
    assert (view.model, view.scale, view.ports) == ("m", 2, ((8080, "TCP"),))
    assert view.containers == (("web", unit_views.NO_IMAGE),)
    assert [(unit.pod, unit.ready) for unit in view.units] == [("app-0", True), ("app-1", True)]
    assert view.units[0].address == world.unit("app/0").address
    coming = unit_views.UnitView("app/2", "127.0.0.9", 4, ready=False)
    assert unit_views.view(state, world.uuid, "app", coming).units[-1] == coming
    await world.call("remove_application", model="m", applications=["app"])
    await world.settle()
    assert unit_views.view(state, world.uuid, "app") is None
    assert list(unit_views.every(state)) == []
