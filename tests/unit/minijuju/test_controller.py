import sqlite3


async def test_pods_of_units_that_are_gone_are_swept(world):
    await world.deploy()
    await world.settle()
    await world.crash()
    connection = sqlite3.connect(world.path / "data/state.db")
    connection.execute("DELETE FROM unit")
    connection.commit()
    connection.close()
    await world.start()
    assert not world.pods


async def test_names_reach_every_pod(world):
    provider, requirer = world.make_pair()
    await world.deploy("p", provider)
    await world.settle()
    await world.deploy("r", requirer)
    await world.settle()
    address = world.unit("r/0").address
    await world.until(lambda: address in world.runtimes["p/0"].hosts)
    status = await world.call("status", model="m")
    assert status["applications"]["r"]["address"] in world.runtimes["p/0"].hosts
