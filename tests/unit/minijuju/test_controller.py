import sqlite3

from minijuju.agent import Agent


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


async def test_an_agent_that_a_defect_ends_says_so_and_is_replaced(world, monkeypatch):
    monkeypatch.setattr("minijuju.controller.REHIRE", 0.05)
    await world.deploy()
    await world.settle()
    real, defects = Agent._turn, [KeyError("many")]

    async def turn(self):
        if defects:
            raise defects.pop()
        return await real(self)

    monkeypatch.setattr(Agent, "_turn", turn)
    world.controller.agents[world.uuid, "app/0"].wake()
    await world.until(lambda: world.status("app/0", "agent")[0] == "failed")
    assert "KeyError('many')" in world.status("app/0", "agent")[1]
    await world.until(lambda: world.status("app/0", "agent") == ("idle", ""))
    log = world.controller.house.log(world.uuid).read()
    assert any("a defect of minijuju's" in line["message"] for line in log)
