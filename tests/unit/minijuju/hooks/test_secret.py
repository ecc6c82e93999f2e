"""Secrets in hooks: who may do what, and what each unit is told of them."""

import json
import time

import pytest


class Clock:
    """The time of day, which can be put forward; what waits for a moment looks again then."""

    def __init__(self, world, patch):
        self.offset = 0.0
        self.world = world
        real = time.time
        patch.setattr("time.time", lambda: real() + self.offset)

    async def pass_(self, seconds):
        self.offset += seconds
        for agent in self.world.controller.agents.values():
            agent.wake()
        await self.world.settle()


@pytest.fixture
def clock(pair, monkeypatch):
    return Clock(pair.world, monkeypatch)


async def add(pair, unit="p/0", *argv):
    async def code(run):
        return (await run.ok("secret-add", "abc=one", *argv)).strip()

    return await pair.inside(unit, code)


async def test_a_secret_is_made_at_the_end_of_the_hook(pair):
    async def code(run):
        uri = (await run.ok("secret-add", "abc=one", "--label", "l", "--rotate", "daily")).strip()
        identity = uri.removeprefix("secret:")
        assert await run.ok("secret-get", "--format=json", uri) == {"abc": "one"}
        assert await run.ok("secret-get", "--format=json", "--label", "l") == {"abc": "one"}
        info = (await run.ok("secret-info-get", "--format=json", uri))[identity]
        assert info["revision"] == 1
        assert info["label"] == "l"
        assert info["rotation"] == "daily"
        assert "rotates" not in info
        assert await run.ok("secret-ids", "--format=json") == [identity]
        return uri

    async def later(run):
        info = await run.ok("secret-info-get", "--format=json", "--label", "l")
        assert "rotates" in next(iter(info.values()))

    uri = await pair.inside("p/0", code)
    assert uri.startswith("secret:")
    await pair.inside("p/0", later)


async def test_a_secret_of_a_failed_hook_was_never_there(pair):
    await pair.world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "true"}, reset=[]
    )

    async def code(run):
        return (await run.ok("secret-add", "abc=one")).strip()

    await pair.inside("p/0", code, fails=True)
    assert await pair.world.call("secrets", model="m") == {}


async def test_secrets_are_encrypted_at_rest(pair):
    async def code(run):
        await run.ok("secret-add", "abc=correct horse battery")

    await pair.inside("p/0", code)
    for file in pair.world.path.glob("data/state.db*"):
        assert b"correct horse battery" not in file.read_bytes()
    key = pair.world.path / "data/secrets.key"
    assert key.stat().st_mode & 0o777 == 0o600
    shown = await pair.world.call("secrets", model="m")
    assert "horse" not in json.dumps(shown)
    identity = next(iter(shown))
    revealed = await pair.world.call("show_secret", model="m", secret=identity, reveal=True)
    assert revealed[identity]["content"]["Data"] == {"abc": "correct horse battery"}


async def test_grants(pair):
    uri = await add(pair)

    async def read(run):
        return await run.ok("secret-get", "--format=json", uri)

    async def denied(run):
        return await run.no("secret-get", uri)

    # The owner's units read it, others do not.
    assert await pair.inside("p/1", read) == {"abc": "one"}
    assert "permission denied" in await pair.inside("r/0", denied)

    async def grant(run):
        await run.ok("secret-grant", "--relation", "1", uri)

    await pair.inside("p/0", grant)
    assert await pair.inside("r/0", read) == {"abc": "one"}

    async def revoke(run):
        await run.ok("secret-revoke", "--relation", "1", uri)

    await pair.inside("p/0", revoke)
    assert "permission denied" in await pair.inside("r/0", denied)
    # A grant dies with its relation.
    await pair.inside("p/0", grant)
    await pair.world.call("remove_relation", model="m", endpoints=["p", "r"])
    await pair.world.settle()
    assert "permission denied" in await pair.inside("r/0", denied)


async def test_unit_grants_go_before_an_application_grant(pair):
    uri = await add(pair)

    async def unit(run):
        await run.ok("secret-grant", "--relation", "1", "--unit", "r/0", uri)

    async def application(run):
        said = await run.no("secret-grant", "--relation", "1", uri)
        assert "any unit level grants need to be revoked before" in said
        await run.ok("secret-revoke", "--unit", "r/0", uri)
        await run.ok("secret-grant", "--relation", "1", uri)

    await pair.inside("p/0", unit)
    await pair.inside("p/0", application)
    await pair.inside("p/0", unit)  # says nothing new
    rows = pair.world.controller.state.rows("SELECT subject FROM secret_grant")
    assert [row["subject"] for row in rows] == ["r"]


async def test_a_reader_has_a_secret_over_one_relation_alone(pair):
    world = pair.world
    options = {"config": {"options": {"n": {"type": "string"}}}}
    await world.deploy("s", world.make_charm("s", provides={"to": {"interface": "j"}}, **options))
    ends = {"a": {"interface": "j"}, "b": {"interface": "j"}}
    await world.deploy("t", world.make_charm("t", requires=ends))
    for name in ends:
        await world.call("integrate", model="m", endpoints=["s:to", f"t:{name}"])
    await world.settle()
    rows = world.controller.state.rows("SELECT id FROM relation ORDER BY id DESC LIMIT 2")
    later, first = (str(row["id"]) for row in rows)
    uri = await add(pair, "s/0")

    async def over(run, relation):
        await run.ok("secret-grant", "--relation", relation, uri)

    await pair.inside("s/0", lambda run: over(run, first))
    before = world.hooks("s/0").count("config-changed")
    # What is refused at the end of the hook fails it, so it runs again (and asks for nothing).
    await pair.inside("s/0", lambda run: over(run, later))
    assert world.hooks("s/0").count("config-changed") == before + 2
    rows = world.controller.state.rows("SELECT relation FROM secret_grant")
    assert [str(row["relation"]) for row in rows] == [first]


async def test_only_the_leader_manages_the_application_s(pair):
    uri = await add(pair)

    async def follower(run):
        assert "not the leader" in await run.no("secret-set", uri, "abc=two")
        assert "not the leader" in await run.no("secret-add", "abc=x")
        assert "not the leader" in await run.no("secret-remove", uri)
        assert "not found" in await run.no("secret-info-get", uri)
        own = (await run.ok("secret-add", "abc=x", "--owner", "unit")).strip()
        await run.ok("secret-set", own, "abc=y")

    await pair.inside("p/1", follower)

    async def leader(run):
        ids = await run.ok("secret-ids", "--format=json")
        assert ids == [uri.removeprefix("secret:")]

    await pair.inside("p/0", leader)


async def test_revisions_changed_and_remove(pair):
    world = pair.world
    uri = await add(pair)

    async def grant(run):
        await run.ok("secret-grant", "--relation", "1", uri)

    async def read(run):
        return await run.ok("secret-get", "--format=json", uri, "--label", "mine")

    async def update(run):
        await run.ok("secret-set", uri, "abc=two")
        # A pending update is seen with --peek and --refresh only.
        assert await run.ok("secret-get", "--format=json", "--peek", uri) == {"abc": "two"}

    await pair.inside("p/0", grant)
    await pair.inside("r/0", read)
    world.ran.clear()
    await pair.inside("p/0", update)
    (changed,) = [run for run in world.ran["r/0"] if run.hook == "secret-changed"]
    assert changed.env["JUJU_SECRET_ID"] == uri
    assert changed.env["JUJU_SECRET_LABEL"] == "mine"
    assert "JUJU_SECRET_REVISION" not in changed.env
    # It follows the old one until it refreshes; then the owner hears that nobody needs it.
    assert await pair.inside("r/0", read) == {"abc": "one"}

    async def peek(run):
        return await run.ok("secret-get", "--format=json", "--peek", "--label", "mine")

    async def refresh(run):
        return await run.ok("secret-get", "--format=json", "--refresh", "--label", "mine")

    assert await pair.inside("r/0", peek) == {"abc": "two"}
    assert "secret-remove" not in world.hooks("p/0")
    assert await pair.inside("r/0", refresh) == {"abc": "two"}
    await world.until(lambda: "secret-remove" in world.hooks("p/0"))
    (removed,) = [run for run in world.ran["p/0"] if run.hook == "secret-remove"]
    assert removed.env["JUJU_SECRET_REVISION"] == "1"
    assert world.hooks("r/0").count("secret-changed") == 1

    async def forget(run):
        await run.ok("secret-remove", uri, "--revision", "1")

    await pair.inside("p/0", forget)
    rows = world.controller.state.rows("SELECT revision FROM secret_revision")
    assert [row[0] for row in rows] == [2]


async def test_an_owner_that_reads_its_secret_hears_of_its_own_changes(pair):
    """As any other reader; Juju has made no difference since 3.3.1."""
    uri = await add(pair, "p/0", "--label", "mine")
    world = pair.world

    def heard():
        return [world.hooks(unit).count("secret-changed") for unit in ("p/0", "p/1")]

    async def change(run, content):
        await run.ok("secret-set", uri, f"abc={content}")

    async def read(run, *flags):
        return await run.ok("secret-get", "--format=json", uri, *flags)

    await pair.inside("p/0", lambda run: change(run, "two"))
    assert heard() == [0, 0]  # nobody has read it
    await pair.inside("p/0", read)
    await pair.inside("p/0", lambda run: change(run, "three"))
    assert heard() == [1, 0]
    assert await pair.inside("p/0", read) == {"abc": "two"}

    async def fresh(run):
        await change(run, "four")
        return await read(run, "--refresh")

    async def first_read(run):
        await read(run, "--refresh")
        await change(run, "3.5")

    await pair.inside("p/0", first_read)
    assert heard() == [2, 0]
    # Who takes the new revision along has nothing left to hear.
    assert await pair.inside("p/0", fresh) == {"abc": "four"}
    assert heard() == [2, 0]
    assert await pair.inside("p/1", read) == {"abc": "four"}
    await pair.inside("p/0", lambda run: change(run, "five"))
    assert heard() == [3, 1]


async def test_the_same_content_is_no_new_revision(pair):
    uri = await add(pair)

    async def same(run):
        await run.ok("secret-set", uri, "abc=one", "--description", "words")

    await pair.inside("p/0", same)
    row = pair.world.controller.state.row("SELECT latest, description FROM secret")
    assert tuple(row) == (1, "words")


async def test_labels_are_unique_for_an_owner(pair):
    await add(pair, "p/0", "--label", "l")

    async def again(run):
        return (await run.ok("secret-add", "abc=x", "--label", "l")).strip()

    await pair.inside("p/0", again, fails=False)
    assert len(await pair.world.call("secrets", model="m")) == 1


async def test_rotation_by_the_clock(pair, clock):
    """It comes when due, again for as long as nobody acts, and then when due again."""
    uri = await add(pair, "p/0", "--rotate", "hourly")
    told = []
    pair.world.on("p/0", "secret-rotate", lambda run: told.append(run.env["JUJU_SECRET_ID"]))
    await clock.pass_(3590)
    assert told == []
    await clock.pass_(20)
    assert told == [uri]
    await clock.pass_(290)
    assert told == [uri]
    await clock.pass_(20)
    assert told == [uri] * 2

    async def rotate(run):
        told.append("rotated")
        await run.ok("secret-set", uri, "abc=two")

    pair.world.on("p/0", "secret-rotate", rotate)
    await clock.pass_(310)
    assert told == [uri] * 2 + ["rotated"]
    await clock.pass_(3590)
    assert told.count("rotated") == 1
    await clock.pass_(20)
    assert told.count("rotated") == 2

    async def stop(run):
        await run.ok("secret-set", uri, "--rotate", "never")

    await pair.inside("p/0", stop)
    await clock.pass_(100 * 86400)
    assert told.count("rotated") == 2


async def test_expiry_by_the_clock(pair, clock):
    uri = await add(pair, "p/0", "--expire", "1h")
    told = []
    pair.world.on(
        "p/0", "secret-expired", lambda run: told.append(run.env["JUJU_SECRET_REVISION"])
    )
    await clock.pass_(3590)
    assert told == []
    await clock.pass_(20)
    assert told == ["1"]
    await clock.pass_(310)
    assert told == ["1", "1"]

    async def renew(run):
        await run.ok("secret-remove", uri, "--revision", run.env["JUJU_SECRET_REVISION"])

    async def content(run):
        await run.ok("secret-set", uri, "abc=two")

    await pair.inside("p/0", content)
    pair.world.on("p/0", "secret-expired", renew)
    await clock.pass_(310)
    rows = pair.world.controller.state.rows("SELECT revision FROM secret_revision")
    assert [row[0] for row in rows] == [2]
    before = len(pair.world.hooks("p/0"))
    await clock.pass_(86400)
    assert "secret-expired" not in pair.world.hooks("p/0")[before:]


async def test_secrets_are_told_in_juju_s_order(pair, clock):
    """What a unit in error has missed comes afterwards: expired, rotate, changed, remove."""
    world = pair.world
    await world.call(
        "model_config", model="m", set={"automatically-retry-hooks": "false"}, reset=[]
    )
    await add(pair, "p/0", "--rotate", "hourly")
    await add(pair, "p/0", "--expire", "1h")
    shared = await add(pair, "p/0", "--label", "shared")

    async def theirs(run):
        uri = (await run.ok("secret-add", "abc=one")).strip()
        await run.ok("secret-grant", "--relation", "1", uri)
        return uri

    async def grant(run):
        await run.ok("secret-grant", "--relation", "1", shared)

    def getting(uri, *argv):
        async def code(run):
            await run.ok("secret-get", uri, *argv)

        return code

    def setting(uri):
        async def code(run):
            await run.ok("secret-set", uri, "abc=two")

        return code

    uri = await pair.inside("r/0", theirs)
    await pair.inside("p/0", grant)
    await pair.inside("p/0", getting(uri))
    await pair.inside("r/0", getting(shared))
    await pair.inside("p/0", setting(shared))
    # Now p/0 is in error, and all four come due.
    failing = [1]

    async def fail(run):
        return failing.pop() if failing else 0

    world.on("p/0", "config-changed", fail)
    await world.call("config_set", model="m", application="p", settings={"n": "fail"})
    await world.until(lambda: world.status("p/0", "agent")[0] == "error")
    world.on("r/0", "config-changed", getting(shared, "--refresh"))
    await world.call("config_set", model="m", application="r", settings={"n": "refresh"})
    await world.until(
        lambda: world.controller.state.row(
            "SELECT 1 FROM secret_consumer WHERE unit = 'r/0' AND revision = 2"
        )
    )
    world.on("r/0", "config-changed", setting(uri))
    await world.call("config_set", model="m", application="r", settings={"n": "set"})
    await world.until(
        lambda: world.controller.state.row("SELECT 1 FROM secret WHERE latest = 2 AND owner = 'r'")
    )
    clock.offset += 3700
    before = len(world.hooks("p/0"))
    await world.call("resolved", model="m", units=["p/0"])
    await world.settle()
    assert world.hooks("p/0")[before:] == [
        "config-changed",
        "secret-expired",
        "secret-rotate",
        "secret-changed",
        "secret-remove",
    ]


async def test_secrets_go_with_their_owner(pair):
    await add(pair)

    async def own(run):
        await run.ok("secret-add", "abc=x", "--owner", "unit")

    await pair.inside("p/1", own)
    assert len(await pair.world.call("secrets", model="m")) == 2
    await pair.world.call("scale_application", model="m", application="p", scale=1)
    await pair.world.settle()
    assert len(await pair.world.call("secrets", model="m")) == 1
    await pair.world.call("remove_application", model="m", applications=["p"])
    await pair.world.settle()
    assert await pair.world.call("secrets", model="m") == {}


async def test_a_content_may_be_any_bytes(pair):
    """As of a key or a keystore; Juju keeps every value in base64."""

    async def code(run):
        uri = (
            await run.ok("secret-add", "key#base64=//4=", "abc=text", "--label", "l\udcff")
        ).strip()
        made = await run.ok("secret-get", "--format=json", uri)
        assert made == {"key": "\ufffd\ufffd", "abc": "text"}
        assert await run.ok("secret-get", uri, "key#base64") == "//4=\n"
        assert "!!binary" in await run.ok("secret-get", uri)
        again = (await run.ok("secret-add", "key=\udcff\udcfe")).strip()
        assert await run.ok("secret-get", again, "key#base64") == "//4=\n"
        return uri

    uri = await pair.inside("p/0", code)

    async def later(run):
        assert await run.ok("secret-get", uri, "key#base64") == "//4=\n"
        assert await run.ok("secret-get", "--label", "l\ufffd", "--format=json")

    await pair.inside("p/0", later)
    user = await pair.world.call(
        "add_secret", model="m", name="u", content={"key#base64": "//4=", "abc": "x"}
    )
    found = await pair.world.call("show_secret", model="m", secret=user, reveal=True)
    ((_, shown),) = found.items()
    assert shown["content"]["Data"] == {"key": "\udcff\udcfe", "abc": "x"}
