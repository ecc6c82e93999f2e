"""The hook commands, called as ops calls them, inside hooks of a controller without processes."""

import asyncio
import json

import pytest

from minijuju.hooks import commands, tools

PROVIDER = {"provides": {"out": {"interface": "i"}}}
REQUIRER = {"requires": {"in": {"interface": "i"}}}


class Pair:
    """A provider `p` with two units and a requirer `r` with one, related; run code in a unit."""

    def __init__(self, world):
        self.world = world
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
    return Pair(world)


def test_every_command_has_its_name():
    assert set(commands.COMMANDS) == set(tools.NAMES)


async def test_databags_follow_the_rules(pair):
    async def leader(run):
        await run.ok("relation-set", "-r", "out:1", "--app", "--file", "-", stdin="app: x\n")
        await run.ok("relation-set", "-r", "1", "--file", "-", stdin='{"unit": "y"}')
        own = await run.ok("relation-get", "--format=json", "-r", "out:1", "-", "p/0")
        assert own["unit"] == "y"
        assert own["ingress-address"].startswith("127.")
        assert own["egress-subnets"] == f"{own['ingress-address']}/32"
        assert own["private-address"] == own["ingress-address"]
        app = await run.ok("relation-get", "--format=json", "-r", "out:1", "--app", "-", "p")
        assert app == {"app": "x"}
        # A sibling's bag is not to be seen outside peers.
        assert "permission denied" in await run.no("relation-get", "-r", "out:1", "-", "p/1")
        remote = await run.ok("relation-get", "--format=json", "-r", "out:1", "-", "r/0")
        assert "ingress-address" in remote

    async def follower(run):
        error = await run.no("relation-set", "-r", "out:1", "--app", "--file", "-", stdin="a: b")
        assert "cannot write relation settings" in error
        error = await run.no("relation-get", "--format=json", "-r", "out:1", "--app", "-", "p")
        assert "permission denied" in error
        peers = await run.ok("relation-get", "--format=json", "-r", "mates:0", "--app", "-", "p")
        assert peers == {}
        sibling = await run.ok("relation-get", "--format=json", "-r", "mates:0", "-", "p/0")
        assert "ingress-address" in sibling

    async def other(run):
        app = await run.ok("relation-get", "--format=json", "-r", "in:1", "--app", "-", "p")
        assert app == {"app": "x"}
        value = await run.ok("relation-get", "--format=json", "-r", "in:1", "unit", "p/0")
        assert value == "y"
        nothing = await run.ok("relation-get", "--format=json", "-r", "in:1", "none", "p/0")
        assert nothing is None
        assert await run.ok("relation-list", "--format=json", "-r", "in:1") == ["p/0", "p/1"]
        assert await run.ok("relation-list", "--format=json", "-r", "in:1", "--app") == "p"
        assert await run.ok("relation-ids", "in", "--format=json") == ["in:1"]
        assert await run.ok("relation-ids", "none", "--format=json") == []
        model = await run.ok("relation-model-get", "--format=json", "-r", "in:1")
        assert model == {"uuid": run.env["JUJU_MODEL_UUID"]}

    await pair.inside("p/0", leader)
    await pair.inside("p/1", follower)
    await pair.inside("r/0", other)


async def test_a_key_is_deleted_by_an_empty_value(pair):
    async def write(run):
        await run.ok("relation-set", "-r", "1", "--file", "-", stdin="a: x\nb: y\n")

    async def delete(run):
        await run.ok("relation-set", "-r", "1", "a=")
        bag = await run.ok("relation-get", "--format=json", "-r", "1", "-", "p/0")
        assert "a" not in bag
        assert bag["b"] == "y"

    await pair.inside("p/0", write)
    await pair.inside("p/0", delete)
    assert "a" not in pair.world.bag(1, "p/0")


async def test_own_writes_bring_no_changed(pair):
    world = pair.world

    async def write(run):
        await run.ok("relation-set", "-r", "mates:0", "--app", "--file", "-", stdin="a: x")
        await run.ok("relation-set", "-r", "out:1", "--file", "-", stdin="a: x")

    world.ran.clear()
    await pair.inside("p/0", write)
    assert [hook for hook in world.hooks("p/0") if "relation" in hook] == []
    assert [hook for hook in world.hooks("p/1") if "relation" in hook] == [
        "mates-relation-changed"
    ]
    (told,) = [run for run in world.ran["p/1"] if "relation" in run.hook]
    assert told.env["JUJU_REMOTE_UNIT"] == ""
    assert [hook for hook in world.hooks("r/0") if "relation" in hook] == ["in-relation-changed"]
    # The same again is no change.
    world.ran.clear()
    await pair.inside("p/0", write)
    assert [hook for hook in world.hooks("r/0") if "relation" in hook] == []


REFUSALS = [
    (["relation-get", "-r", "out:99", "-", "r/0"], "relation not found"),
    (["relation-get", "-r", "x", "-", "r/0"], "relation not found"),
    (["relation-get"], "no relation id"),
    (["relation-list", "-r", "out:99"], "relation not found"),
    (["relation-set", "-r", "out:99", "a=b"], "relation not found"),
    (["relation-set", "-r", "1", "ab"], "expected key=value"),
    (["relation-get", "-r", "1", "-", "nobody/0"], "not found"),
    (["network-get", "nothing"], "no network config"),
    (["network-get", "-r", "77", "out"], "relation not found"),
    (["secret-get", "secret:aaaaaaaaaaaaaaaaaaaa"], "not found"),
    (["secret-get", "--label", "none"], "not found"),
    (["secret-get", "nonsense"], "not valid"),
    (["secret-get"], "require either"),
    (["secret-info-get", "secret:aaaaaaaaaaaaaaaaaaaa"], "not found"),
    (["secret-remove", "secret:aaaaaaaaaaaaaaaaaaaa"], "not found"),
    (["secret-add", "ab=x"], "not valid"),
    (["secret-add", "Abc=x"], "not valid"),
    (["secret-add"], "missing secret value"),
    (["secret-add", "abc=x", "--rotate", "sometimes"], "rotate policy"),
    (["secret-add", "abc=x", "--expire", "soon"], "not valid"),
    (["secret-add", "abc=x", "--expire", "2001-01-01T00:00:00Z"], "future"),
    (["status-set", "error", "--", "x"], "invalid status"),
    (["status-set"], "invalid args"),
    (["open-port", "0/tcp"], "not valid"),
    (["open-port", "99999/tcp"], "not valid"),
    (["open-port", "x"], "expected"),
    (["open-port", "80/tcp", "--endpoints", "none"], "not found"),
    (["storage-get", "-s", "data/99"], "not found"),
    (["storage-add", "none"], "not found"),
    (["storage-add", "data=9"], "at most 3"),
    (["resource-get", "none"], "not found"),
    (["resource-get", "file"], "not found"),
    (["action-get"], "not running an action"),
    (["action-set", "a=b"], "not running an action"),
    (["action-fail"], "not running an action"),
    (["config-get", "--nonsense"], "not defined"),
    (["config-get", "--format"], "needs an argument"),
    (["config-get", "--format=xml"], "unknown format"),
    (["juju-reboot"], "not supported"),
    (["credential-get"], "not supported"),
    (["unit-get", "age"], "unknown attribute"),
    (["goal-states"], "not supported"),
]


async def test_refusals(pair):
    async def code(run):
        return [await run.no(*argv) for argv, _ in REFUSALS]

    errors = await pair.inside("p/0", code)
    for error, (argv, says) in zip(errors, REFUSALS, strict=True):
        assert says in error, argv


async def test_config(pair):
    async def code(run):
        found = await run.ok("config-get", "--format=json")
        assert set(found) == {"n"}
        assert await run.ok("config-get", "--format=json", "unset") is None
        assert set(await run.ok("config-get", "--format=json", "--all")) == {"n", "unset"}
        assert (await run.ok("config-get", "n")).strip() == found["n"]

    await pair.inside("p/0", code)


async def test_network(pair):
    async def code(run):
        found = await run.ok("network-get", "--format=json", "out")
        (bind,) = found["bind-addresses"]
        assert set(bind) == {"mac-address", "interface-name", "addresses"}
        (address,) = bind["addresses"]
        ingress = found["ingress-addresses"][0]
        assert address["value"] != ingress
        assert found["egress-subnets"] == [f"{ingress}/32"]
        assert await run.ok("network-get", "--format=json", "-r", "1", "out") == found
        private = await run.ok("unit-get", "private-address")
        assert private.strip() == address["value"]

    await pair.inside("p/0", code)


async def test_ports(pair):
    async def code(run):
        await run.ok("open-port", "80/tcp")
        await run.ok("open-port", "80/tcp")
        await run.ok("open-port", "100-110/udp")
        await run.ok("open-port", "--endpoints", "out", "443")
        assert sorted(await run.ok("opened-ports", "--format=json")) == [
            "100-110/udp",
            "443/tcp",
            "80/tcp",
        ]
        shown = await run.ok("opened-ports", "--endpoints", "--format=json")
        assert "443/tcp (out)" in shown
        assert "80/tcp (*)" in shown
        await run.ok("close-port", "100-110/udp")
        assert "100-110/udp" not in await run.ok("opened-ports", "--format=json")

    await pair.inside("p/0", code)
    status = await pair.world.call("status", model="m")
    assert status["applications"]["p"]["units"]["p/0"]["open-ports"] == ["443/tcp", "80/tcp"]


async def test_state(pair):
    async def write(run):
        await run.ok("state-set", "--file", "-", stdin="a: '1'\nb: two\n")
        await run.ok("state-delete", "b")
        assert await run.ok("state-get", "--format=json") == {"a": "1"}
        assert await run.ok("state-get", "--format=json", "a") == "1"
        assert await run.ok("state-get", "--format=json", "b") is None

    async def read(run):
        assert await run.ok("state-get", "--format=json") == {"a": "1"}

    await pair.inside("p/0", write)
    await pair.inside("p/0", read)


async def test_status(pair):
    async def leader(run):
        await run.ok("status-set", "--application=False", "active", "--", "unit", "fine")
        await run.ok("status-set", "--application=True", "waiting", "--", "for all")
        own = await run.ok("status-get", "--include-data", "--format=json", "--application=false")
        assert own == {"status": "active", "message": "unit fine", "status-data": {}}
        whole = await run.ok("status-get", "--include-data", "--format=json", "--application=true")
        assert whole["application-status"]["message"] == "for all"
        assert set(whole["units"]) == {"p/0", "p/1"}

    async def follower(run):
        assert "not the leader" in await run.no("status-set", "--application=True", "active")
        assert "not the leader" in await run.no(
            "status-get", "--format=json", "--application=true"
        )

    await pair.inside("p/0", leader)
    await pair.inside("p/1", follower)
    status = await pair.world.call("status", model="m")
    assert status["applications"]["p"]["application-status"]["message"] == "for all"


async def test_storage(pair):
    async def code(run):
        (data,) = await run.ok("storage-list", "--format=json", "data")
        found = await run.ok("storage-get", "--format=json", "-s", data)
        number = data.partition("/")[2]
        assert found == {
            "kind": "filesystem",
            "location": f"/var/lib/juju/storage/data/{number}",
        }
        await run.ok("storage-add", "data=1")

    await pair.inside("p/0", code)
    rows = pair.world.controller.state.rows("SELECT * FROM storage WHERE unit='p/0'")
    assert len(rows) == 2


async def test_goal_state_and_leadership(pair):
    async def code(run):
        found = await run.ok("goal-state", "--format=json")
        assert set(found["units"]) == {"p/0", "p/1"}
        assert set(found["units"]["p/0"]) == {"status", "since"}
        assert set(found["relations"]["out"]) == {"r", "r/0"}
        return await run.ok("is-leader", "--format=json")

    assert await pair.inside("p/0", code) is True
    assert await pair.inside("p/1", code) is False


async def test_a_file_resource(pair, tmp_path):
    (tmp_path / "whatever").write_text("content")
    await pair.world.call(
        "refresh",
        model="m",
        application="p",
        resources={"file": str(tmp_path / "whatever")},
    )
    await pair.world.settle()

    async def code(run):
        return (await run.ok("resource-get", "file")).strip()

    path = await pair.inside("p/0", code)
    assert path == f"{tools.HOOKS_FOLDER}/resources/file/a.txt"
    (real,) = pair.world.path.glob("data/hooks/*/p-0/resources/file/a.txt")
    assert real.read_text() == "content"


async def test_a_context_that_is_over_answers_nobody(pair):
    kept = []

    async def code(run):
        kept.append(run)

    await pair.inside("p/0", code)
    assert "over" in await kept[0].no("is-leader")

    async def forge(run):
        run.env["JUJU_CONTEXT_ID"] = "0" * 32
        return await run.no("is-leader")

    assert "over" in await pair.inside("p/0", forge)


async def test_logs_are_clean(pair):
    async def code(run):
        await run.ok("juju-log", "--log-level", "INFO", "--", "one\ntwo\x1b[31m\rthree")
        await run.ok("juju-log", "--log-level", "WARNING", "--", "x" * 100_000)
        await run.ok("juju-log", "--log-level", "DEBUG", "--", "not wanted")

    await pair.inside("p/0", code)
    (log,) = pair.world.path.glob("data/logs/*.log")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    messages = [record["message"] for record in records if record["entity"] == "p/0"]
    assert "one" in messages
    assert "two\\x1b[31m\\rthree" in messages
    assert max(map(len, messages)) <= 16 * 1024
    assert "not wanted" not in messages


# Actions and command lines.


async def test_action(pair):
    async def act(run):
        assert run.env["JUJU_ACTION_NAME"] == "act"
        assert run.env["JUJU_HOOK_NAME"] == ""
        assert run.env["JUJU_DISPATCH_PATH"] == "actions/act"
        assert await run.ok("action-get", "--format=json") == {"deep": {"er": 1}}
        assert await run.ok("action-get", "--format=json", "deep.er") == 1
        await run.ok("action-log", "--", "half way")
        await run.ok("action-set", "a.b=c", "a.d=e", "f=g")
        assert "reserved" in await run.no("action-set", "stdout=x")
        assert "lowercase" in await run.no("action-set", "A=x")

    pair.world.on("p/0", "act", act)
    result = await pair.world.call(
        "run", model="m", units=["p/0"], action="act", params={"deep": {"er": 1}}
    )
    task = result["p/0"]
    assert task["status"] == "completed"
    assert task["results"] == {"a": {"b": "c", "d": "e"}, "f": "g", "return-code": 0}
    assert task["log"][0].endswith("half way")


async def test_action_fail_is_still_flushed(pair):
    async def act(run):
        await run.ok("relation-set", "-r", "1", "--file", "-", stdin="kept: yes\n")
        await run.ok("action-set", "a=b")
        await run.ok("action-fail", "--", "no", "good")

    pair.world.on("p/0", "act", act)
    task = (await pair.world.call("run", model="m", units=["p/0"], action="act"))["p/0"]
    assert (task["status"], task["message"]) == ("failed", "no good")
    assert task["results"] == {"a": "b", "return-code": 0}
    assert pair.world.bag(1, "p/0")["kept"] == "yes"


async def test_an_action_never_puts_a_unit_in_error(pair):
    async def act(run):
        await run.ok("relation-set", "-r", "1", "--file", "-", stdin="lost: yes\n")
        return 3

    pair.world.on("p/0", "act", act)
    task = (await pair.world.call("run", model="m", units=["p/0"], action="act"))["p/0"]
    assert task["status"] == "failed"
    assert task["results"]["return-code"] == 3
    assert "lost" not in pair.world.bag(1, "p/0")
    await pair.world.settle()
    assert pair.world.hooks("p/0").count("act") == 1


async def test_exec(pair):
    result = await pair.world.call(
        "exec", model="m", units=["p/0"], command=["config-get", "--format=json"]
    )
    task = result["p/0"]
    assert task["status"] == "completed"
    assert "n" not in json.loads(task["results"]["stdout"])
    failed = await pair.world.call("exec", model="m", units=["p/0"], command=["network-get", "x"])
    assert failed["p/0"]["results"]["return-code"] == 1
    assert "ERROR" in failed["p/0"]["results"]["stderr"]


# Secrets.


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
        await run.ok("secret-grant", "--relation", "1", uri)

    await pair.inside("p/0", unit)
    await pair.inside("p/0", application, fails=True)
    assert pair.world.controller.state.rows("SELECT subject FROM secret_grant")[0][0] == "r/0"


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


async def test_rotation_and_expiry(pair, monkeypatch):
    from minijuju import secrets

    monkeypatch.setitem(secrets.ROTATION, "hourly", 0.05)
    uri = await add(pair, "p/0", "--rotate", "hourly")
    await pair.world.until(lambda: "secret-rotate" in pair.world.hooks("p/0"))
    # It comes again for as long as nobody acts.
    await pair.world.until(lambda: pair.world.hooks("p/0").count("secret-rotate") >= 2)

    async def stop(run):
        await run.ok("secret-set", uri, "--rotate", "never")

    await pair.inside("p/0", stop)
    count = pair.world.hooks("p/0").count("secret-rotate")
    await asyncio.sleep(0.2)
    assert pair.world.hooks("p/0").count("secret-rotate") == count

    async def expire(run):
        await run.ok("secret-set", uri, "--expire", "100ms")

    async def expired(run):
        assert run.env["JUJU_SECRET_REVISION"] == "1"
        await run.ok("secret-remove", uri, "--revision", "1")

    pair.world.on("p/0", "secret-expired", expired)
    await pair.inside("p/0", expire)
    await pair.world.until(lambda: "secret-expired" in pair.world.hooks("p/0"))
    await pair.world.settle()
    assert await pair.world.call("secrets", model="m") == {}


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
