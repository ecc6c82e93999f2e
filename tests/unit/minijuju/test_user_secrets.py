"""A person's secrets: granted to applications, read in hooks, changed, taken back."""

import pytest

from minijuju.errors import BadRequestError, NotFoundError
from minijuju.secrets import SecretError


@pytest.fixture
async def granted(world):
    """Application `m` bears the model's own name, and has a secret; `other` has not."""
    await world.deploy("m")
    await world.deploy("other")
    await world.settle()
    uri = await world.call(
        "add_secret", model="m", name="cluster", content={"kubeconfig": "one"}, info="where"
    )
    await world.call("grant_secret", model="m", secret="cluster", applications=["m"])
    await world.settle()
    return uri


async def inside(world, unit, *command):
    done = await world.call("exec", model="m", units=[unit], command=list(command))
    results = done[unit]["results"]
    return results["return-code"], results.get("stdout", ""), results.get("stderr", "")


async def test_who_was_granted_reads_it(world, granted):
    assert await inside(world, "m/0", "secret-get", granted, "kubeconfig") == (0, "one\n", "")
    code, _, error = await inside(world, "other/0", "secret-get", granted)
    assert code != 0
    assert "permission denied" in error


async def test_a_unit_may_not_change_it_though_it_leads_an_application_of_that_name(
    world, granted
):
    for command in (["secret-set", granted, "kubeconfig=x"], ["secret-remove", granted]):
        code, _, error = await inside(world, "m/0", *command)
        assert code != 0
        assert "one" not in error


async def test_new_content_is_heard_of(world, granted):
    await inside(world, "m/0", "secret-get", granted)
    await world.call("update_secret", model="m", secret=granted, content={"kubeconfig": "two"})
    await world.settle()
    assert world.hooks("m/0")[-1] == "secret-changed"
    assert "secret-changed" not in world.hooks("other/0")
    found = await inside(world, "m/0", "secret-get", granted, "--refresh", "kubeconfig")
    assert found == (0, "two\n", "")


async def test_a_grant_taken_back_and_a_secret_removed(world, granted):
    await world.call("revoke_secret", model="m", secret="cluster", applications=["m"])
    assert (await inside(world, "m/0", "secret-get", granted))[0] != 0
    await world.call("remove_secret", model="m", secret="cluster")
    assert await world.call("secrets", model="m") == {}


async def test_it_is_shown_as_juju_does(world, granted):
    (shown,) = (await world.call("show_secret", model="m", secret="cluster")).values()
    assert (shown["name"], shown["owner"], shown["description"]) == ("cluster", "<model>", "where")
    (reader,) = shown["access"]
    assert (reader["target"], reader["role"]) == ("application-m", "view")
    assert "content" not in shown


async def test_what_cannot_be(world, granted):
    for error, method, options in (
        (SecretError, "add_secret", {"name": "cluster", "content": {"abc": "x"}}),
        (SecretError, "add_secret", {"name": "", "content": {"abc": "x"}}),
        (SecretError, "add_secret", {"name": "n", "content": {}}),
        (SecretError, "add_secret", {"name": "n", "content": {"A": "x"}}),
        (NotFoundError, "grant_secret", {"secret": "none", "applications": ["m"]}),
        (NotFoundError, "grant_secret", {"secret": "cluster", "applications": ["none"]}),
        (NotFoundError, "update_secret", {"secret": "none", "content": {"abc": "x"}}),
        (NotFoundError, "remove_secret", {"secret": "none"}),
    ):
        with pytest.raises((error, BadRequestError)):
            await world.call(method, model="m", **options)
    assert len(await world.call("secrets", model="m")) == 1


async def test_it_is_a_value_of_an_option(world, granted):
    charm = world.make_charm(
        "c", config={"options": {"kubeconfig": {"type": "secret", "description": "d"}}}
    )
    await world.deploy("c", charm=charm, config={"kubeconfig": granted})
    await world.call("grant_secret", model="m", secret=granted, applications=["c"])
    await world.settle()
    code, text, _ = await inside(world, "c/0", "config-get", "kubeconfig")
    assert (code, text.strip()) == (0, granted)
    assert (await inside(world, "c/0", "secret-get", granted))[0] == 0


async def test_what_nobody_follows_goes_where_the_user_said_so(world, granted):
    """`update-secret --auto-prune`."""

    async def update(number=None, **more):
        content = number and {"kubeconfig": number}
        await world.call("update_secret", model="m", secret="cluster", content=content, **more)
        await world.settle()

    async def revisions():
        found = await world.call("show_secret", model="m", secret="cluster", revisions=True)
        ((_, shown),) = found.items()
        return [one["revision"] for one in shown["revisions"]]

    await inside(world, "m/0", "secret-get", granted)
    await update("two")
    await update("three")
    assert await revisions() == [1, 2, 3]
    await update(auto_prune=True)
    assert await revisions() == [1, 3]
    await inside(world, "m/0", "secret-get", granted, "--refresh")
    assert await revisions() == [3]
    await update("four")
    await update("five", auto_prune=False)
    assert await revisions() == [3, 4, 5]
    await update("six")
    assert await revisions() == [3, 4, 5, 6]
    await update(auto_prune=True)
    await world.call("revoke_secret", model="m", secret="cluster", applications=["m"])
    assert await revisions() == [6]
