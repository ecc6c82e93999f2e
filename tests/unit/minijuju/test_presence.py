"""What a cluster holds of the models, without a cluster: a changed template brings new pods."""

from minijuju.unit_views import UNTOUCHED, Template


async def test_a_changed_template_gives_every_unit_a_new_pod(world):
    await world.deploy("app", units=2)
    await world.settle()
    before = {unit: len(world.hooks(unit)) for unit in ("app/0", "app/1")}
    world.controller.presence.follow(Template("m", "app", UNTOUCHED))
    world.controller.presence.follow(Template("none", "app", "other"))
    await world.settle()
    assert {unit: len(world.hooks(unit)) for unit in before} == before
    for _ in range(2):
        world.controller.presence.follow(Template("m", "app", "patched"))
        await world.settle()
    for unit, count in before.items():
        assert world.hooks(unit)[count:] == ["stop", "upgrade-charm", "config-changed", "start"]
        # The charm says nothing of itself, so nothing is left of the old pod's end.
        assert world.status(unit) == ("unknown", "")


async def test_what_a_container_may_take_is_the_templates_or_the_constraints_word(world):
    charm = world.make_charm("app", containers={"web": {}, "db": {}})
    await world.deploy("app", charm, constraints="mem=1G")
    await world.settle()
    gib = 1024**3
    assert world.runtimes["app/0"].spec.memory == {"web": gib, "db": gib}
    world.controller.presence.follow(Template("m", "app", "patched", {"web": 5, "charm": 6}))
    await world.settle()
    assert world.runtimes["app/0"].spec.memory == {"web": 5, "db": gib}
    count = len(world.hooks("app/0"))
    await world.call(
        "set_constraints", model="m", application="app", constraints="mem=2G arch=arm64"
    )
    await world.settle()
    assert world.runtimes["app/0"].spec.memory == {"web": 5, "db": 2 * gib}
    assert world.hooks("app/0")[count] == "stop"
    count = len(world.hooks("app/0"))
    await world.call("set_constraints", model="m", application="app", constraints="mem=2G")
    await world.settle()
    assert len(world.hooks("app/0")) == count
    world.controller.presence.follow(Template("m", "app", UNTOUCHED))
    await world.call("set_constraints", model="m", application="app", constraints="")
    await world.settle()
    assert world.runtimes["app/0"].spec.memory == {}


async def test_what_was_changed_goes_with_its_application(world):
    await world.deploy("app")
    await world.settle()
    world.controller.presence.follow(Template("m", "app", "patched"))
    await world.call("remove_application", model="m", applications=["app"])
    await world.settle()
    await world.deploy("app")
    await world.settle()
    before = list(world.hooks("app/0"))
    world.controller.presence.follow(Template("m", "app", UNTOUCHED))
    await world.settle()
    assert world.hooks("app/0") == before
    assert before.count("install") == 2
