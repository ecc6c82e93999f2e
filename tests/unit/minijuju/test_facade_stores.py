"""Storage and resources, asked of a whole controller."""

import pytest

from minijuju.errors import BadRequestError, NotFoundError

STORAGE = {"data": {"type": "filesystem"}}


async def test_storage_that_no_unit_has_can_go(world):
    await world.deploy(charm=world.make_charm(storage=STORAGE))
    await world.settle()
    found = await world.call("storage", model="m")
    assert found["storage"]["data/0"]["status"]["current"] == "attached"
    with pytest.raises(BadRequestError, match="data/0 is attached to app/0"):
        await world.call("remove_storage", model="m", storage=["data/0"])
    await world.call("scale_application", model="m", application="app", scale=0)
    await world.settle()
    with pytest.raises(NotFoundError, match='storage "data/9" not found'):
        await world.call("remove_storage", model="m", storage=["data/0", "data/9"])
    assert "data/0" in (await world.call("storage", model="m"))["storage"]
    await world.call("remove_storage", model="m", storage=["data/0"])
    assert await world.call("storage", model="m") == {}


async def test_resources(world, tmp_path):
    file = tmp_path / "f"
    file.write_text("x")
    declared = {
        "file": {"type": "file", "filename": "f.txt", "description": "A file."},
        "spare": {"type": "oci-image"},
    }
    await world.deploy(charm=world.make_charm(resources=declared), resources={"file": str(file)})
    assert await world.call("resources", model="m", application="app") == [
        {
            "name": "file",
            "type": "file",
            "path": "f.txt",
            "description": "A file.",
            "origin": "upload",
            "source": str(file),
        },
        {
            "name": "spare",
            "type": "oci-image",
            "path": "",
            "description": "",
            "origin": "",
            "source": "",
        },
    ]


async def test_a_controller_has_an_identity_that_stays(world):
    first = await world.call("controller_info")
    assert len(first["uuid"]) == 36
    assert list(first["models"]) == ["m"]
    assert (first["backup"]["written"], first["backup"]["problem"]) == ("", "")
    await world.stop()
    await world.start()
    again = await world.call("controller_info")
    # It ended as it should, and so left a copy.
    assert again["backup"]["written"].endswith(" UTC")
    assert {**again, "backup": first["backup"]} == first
    (model,) = (await world.call("models"))["models"]
    assert model["controller-uuid"] == first["uuid"]
