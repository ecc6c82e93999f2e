import pytest

from minijuju.errors import AlreadyExistsError, BadRequestError, JujuError, NotFoundError


async def test_destroy_model(world):
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["r", "p"])
    await world.settle()
    await world.call("destroy_model", model="m", destroy_storage=True)
    assert (await world.call("models"))["models"] == []
    assert not world.pods


@pytest.mark.parametrize("scale", [-1, 501])
async def test_a_scale_that_cannot_be_meant_changes_nothing(world, scale):
    await world.deploy(charm=world.make_charm("app"))
    await world.settle()
    with pytest.raises(BadRequestError, match=f"expected 0 to 500 units, got {scale}"):
        await world.call("scale_application", model="m", application="app", scale=scale)
    status = await world.call("status", model="m")
    assert list(status["applications"]["app"]["units"]) == ["app/0"]


async def test_config_of_a_wrong_kind_changes_nothing(world):
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
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.deploy("r", requirer)
    for ends in (["p", "p"], ["p:none", "r"], ["p:out", "r:out"], ["p", "nobody"]):
        with pytest.raises(JujuError):
            await world.call("integrate", model="m", endpoints=ends)
    await world.call("integrate", model="m", endpoints=["p", "r"])
    with pytest.raises(AlreadyExistsError):
        await world.call("integrate", model="m", endpoints=["r", "p"])
