"""A provider and a requirer, related, in a controller without processes."""

import asyncio

import pytest

PROVIDER = {"provides": {"out": {"interface": "i"}}}
REQUIRER = {"requires": {"in": {"interface": "i"}}}


class Pair:
    """A provider `p` with two units and a requirer `r` with one, related; run code in a unit."""

    def __init__(self, world, provider):
        self.world = world
        self.provider = provider
        self.turn = 0

    async def inside(self, unit, code, *, fails=False):
        """Run `code` as the unit's next config-changed."""
        outcome = asyncio.get_running_loop().create_future()

        async def handler(run):
            if outcome.done():
                return 0
            try:
                result = await code(run)
            except AssertionError as error:
                outcome.set_exception(error)
                return 0
            outcome.set_result(result)
            return 1 if fails else 0

        self.world.on(unit, "config-changed", handler)
        application = unit.partition("/")[0]
        self.turn += 1
        await self.world.call(
            "config_set", model="m", application=application, settings={"n": str(self.turn)}
        )
        result = await asyncio.wait_for(outcome, 10)
        await self.world.settle()
        return result


@pytest.fixture
async def pair(world):
    options = {"config": {"options": {"n": {"type": "string"}, "unset": {"type": "int"}}}}
    peers = {"peers": {"mates": {"interface": "mates"}}}
    resources = {"resources": {"file": {"type": "file", "filename": "a.txt"}}}
    storage = {"storage": {"data": {"type": "filesystem", "multiple": {"range": "1-3"}}}}
    actions = {
        "actions": {"act": {"params": {"deep": {"type": "object"}}, "additionalProperties": True}}
    }
    provider = world.make_charm(
        "p", **PROVIDER, **options, **peers, **resources, **storage, **actions
    )
    requirer = world.make_charm("r", **REQUIRER, **options)
    await world.deploy("p", provider, units=2)
    await world.deploy("r", requirer)
    await world.call("integrate", model="m", endpoints=["p", "r"])
    await world.settle()
    return Pair(world, provider)
