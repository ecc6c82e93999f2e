"""Settings of models and applications, asked of a whole controller."""

import pytest

from minijuju.errors import BadRequestError

OPTIONS = {"options": {"size": {"type": "int", "default": 1}}}


async def test_defaults_of_models_are_for_those_that_come(world):
    document = await world.call("model_defaults", set={"update-status-hook-interval": "1m"})
    entry = document["update-status-hook-interval"]
    assert entry == {"default": "5m", "controller": "1m"}
    await world.call("add_model", name="later")
    await world.call("add_model", name="own", config={"update-status-hook-interval": "2m"})
    values = {}
    for name in ("m", "later", "own"):
        config = await world.call("model_config", model=name)
        values[name] = tuple(config["update-status-hook-interval"].values())
    assert values == {
        "m": ("5m", "default"),
        "later": ("1m", "controller"),
        "own": ("2m", "model"),
    }
    document = await world.call("model_defaults", reset=["update-status-hook-interval"])
    assert document["update-status-hook-interval"] == {"default": "5m"}
    for wrong in ({"": "1"}, {"update-status-hook-interval": "often"}):
        with pytest.raises(BadRequestError):
            await world.call("model_defaults", set=wrong)


async def test_constraints_of_a_model_are_its_applications_own(world):
    assert await world.call("model_constraints", model="m") == ""
    await world.call("set_model_constraints", model="m", constraints="mem=1G cores=2")
    assert await world.call("model_constraints", model="m") == "cores=2 mem=1024M"
    await world.deploy(constraints="cores=4")
    shown = await world.call("show_application", model="m", applications=["app"])
    assert shown["app"]["constraints"] == {"mem": 1024, "cores": 4}
    await world.call("set_constraints", model="m", application="app", constraints="mem=2G")
    shown = await world.call("show_application", model="m", applications=["app"])
    assert shown["app"]["constraints"] == {"mem": 2048}
    with pytest.raises(BadRequestError, match='bad "mem" constraint'):
        await world.call("set_constraints", model="m", application="app", constraints="mem=x")
    with pytest.raises(BadRequestError, match="unknown constraint"):
        await world.call("set_model_constraints", model="m", constraints="x=1")
    await world.call("set_model_constraints", model="m", constraints="")
    assert await world.call("model_constraints", model="m") == ""


async def test_exposing_needs_a_hostname(world):
    await world.deploy(charm=world.make_charm(config=OPTIONS))
    target = {"model": "m", "application": "app"}
    with pytest.raises(BadRequestError, match="juju config app juju-external-hostname=<value>"):
        await world.call("expose", **target)
    await world.call("config_set", **target, settings={"juju-external-hostname": "h", "size": "3"})
    config = await world.call("config_get", **target)
    assert config["settings"]["size"]["value"] == 3
    assert config["application-config"]["juju-external-hostname"]["value"] == "h"
    await world.call("expose", **target)
    status = await world.call("status", model="m")
    assert status["applications"]["app"]["exposed"] is True
    await world.call("unexpose", **target)
    status = await world.call("status", model="m")
    assert status["applications"]["app"]["exposed"] is False
    await world.call("config_set", **target, reset=["juju-external-hostname", "size"])
    config = await world.call("config_get", **target)
    assert config["application-config"]["juju-external-hostname"]["source"] == "unset"
    assert config["settings"]["size"]["value"] == 1
    for wrong in ({"reset": ["none"]}, {"settings": {"none": 1}}):
        with pytest.raises(BadRequestError, match="none"):
            await world.call("config_set", **target, **wrong)


async def test_an_own_setting_can_be_given_at_deploy(world):
    await world.deploy(config={"juju-external-hostname": "h"})
    await world.call("expose", model="m", application="app")


async def test_annotations(world):
    await world.deploy()
    for notes in ({"a": "1", "b": "2"}, {"a": "", "c": "3"}):
        await world.call("annotate", model="m", application="app", annotations=notes)
    shown = await world.call("show_application", model="m", applications=["app"])
    assert shown["app"]["annotations"] == {"b": "2", "c": "3"}


async def test_a_charm_of_a_store_and_its_next_revision(world):
    charm = world.make_charm()
    await world.deploy(charm=charm, channel="14/stable", revision=281)
    await world.settle()
    ran = world.hooks("app/0")
    status = (await world.call("status", model="m"))["applications"]["app"]
    assert (status["charm"], status["charm-origin"]) == ("app", "charmhub")
    assert (status["charm-rev"], status["charm-channel"]) == (281, "14/stable")
    unit = (await world.call("show_unit", model="m", units=["app/0"]))["app/0"]
    assert unit["charm"].startswith("ch:")
    assert unit["charm"].endswith("/app-281")
    # Another channel with the same revision: what is followed changes, and nothing else.
    target = {"model": "m", "application": "app"}
    await world.call("refresh", **target, channel="14/edge", revision=281)
    await world.settle()
    assert world.hooks("app/0") == ran
    await world.call("refresh", **target, path=str(charm), channel="14/edge", revision=300)
    await world.settle()
    assert world.hooks("app/0")[len(ran) :][:2] == ["stop", "upgrade-charm"]
    status = (await world.call("status", model="m"))["applications"]["app"]
    assert (status["charm-rev"], status["charm-channel"]) == (300, "14/edge")
    # To a local charm again.
    await world.call("refresh", **target, path=str(charm))
    status = (await world.call("status", model="m"))["applications"]["app"]
    assert (status["charm-origin"], status["charm"]) == ("local", "local:app-0")
    assert "charm-channel" not in status


async def test_what_a_charm_assumes_must_hold(world):
    charm = world.make_charm(assumes=["juju >= 42", "k8s-api"])
    with pytest.raises(BadRequestError) as caught:
        await world.deploy(charm=charm)
    assert str(caught.value) == (
        "Charm cannot be deployed because:\n"
        "  - charm requires Juju version >= 42.0.0, model has version 3.6.12"
    )
    await world.deploy(charm=charm, force=True)
    with pytest.raises(BadRequestError, match="Charm cannot be deployed"):
        await world.call("refresh", model="m", application="app", path=str(charm))


async def test_a_key_that_nothing_reads_is_kept_with_a_warning(world):
    told = []

    class Listener:
        def progress(self, text):
            told.append(text)

    found = await world.api.model_config(Listener(), "m", {"arch": "amd64"}, [])
    assert found["arch"] == {"Value": "amd64", "Source": "model"}
    await world.api.add_model(Listener(), "other", {"test-mode": True})
    found = await world.call("model_defaults", set={"default-base": "ubuntu@24.04"})
    assert found["default-base"] == {"controller": "ubuntu@24.04"}
    assert told == [
        f'WARNING key "{key}" is not defined in the current model configuration: possible'
        " misspelling"
        for key in ("arch", "test-mode")
    ]
    found = await world.api.model_config(Listener(), "m", {}, ["arch", "none"])
    assert "arch" not in found
    with pytest.raises(BadRequestError, match="no key of a model"):
        await world.call("model_config", model="m", set={"": 1})


async def test_units_that_are_there_keep_their_network(world):
    await world.deploy()
    with pytest.raises(BadRequestError, match=r"while the model has units \(1 now\).*--config"):
        await world.call("model_config", model="m", set={"unit-network": "isolated"})
    config = await world.call("model_config", model="m", set={"unit-network": "shared"})
    assert config["unit-network"] == {"Value": "shared", "Source": "model"}
