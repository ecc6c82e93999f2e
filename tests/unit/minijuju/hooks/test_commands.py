"""The hook commands, called as ops calls them, inside hooks of a controller without processes."""

import json

from tests.corpus.hook_commands import ROWS, J

from minijuju import units
from minijuju.hooks import commands, tools
from minijuju.runtime import ClusterAccess


def filled(value, known):
    """The value with `{name}` replaced by what is known, as deep as it goes."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, dict):
        return {filled(key, known): filled(item, known) for key, item in value.items()}
    return [filled(item, known) for item in value] if isinstance(value, list) else value


async def asked(run, row, known):
    """What is wrong with the answer to a row; empty if nothing is."""
    code, out, err = await run.tool(*filled(row.argv, known).split(), stdin=row.stdin)
    if row.keep:
        known |= {row.keep: out.strip(), "id": out.strip().removeprefix("secret:")}
    wanted = filled(row.out, {**known, "*": known.get("id", "")})
    shown = json.loads(out) if J in row.argv and not code else out
    said = f"ERROR {filled(row.err, known)}\n" if row.err else ""
    if (code, shown, err) == (row.code, wanted, said):
        return ""
    got = f"  got    {code} {shown!r} {err!r}"
    return f"{row.where}: {row.argv}\n  wanted {row.code} {wanted!r} {said!r}\n{got}"


def test_every_command_has_rows():
    assert {row.argv.split()[0] for row in ROWS} - {"goal-states"} == set(tools.NAMES)


async def test_rows(pair):
    """All rows, each place in its own hook; the leader's writes bring the others' hooks."""
    world = pair.world
    application = world.controller.state.row("SELECT address FROM application WHERE name = 'p'")
    known = {"uuid": world.uuid, "remote": application["address"]}
    found = {}

    def at(where):
        async def code(run):
            if where in found:
                return
            own = (await run.tool("unit-get", "private-address"))[1].strip()
            ingress = (await run.tool("unit-get", "public-address"))[1].strip()
            here = {**known, "n": str(pair.turn), "bind": own, "ingress": ingress}
            answers = [await asked(run, row, here) for row in ROWS if row.where == where]
            found[where] = [answer for answer in answers if answer]

        return code

    async def changed(run):
        await at("changed" if run.env["JUJU_REMOTE_UNIT"] == "p/0" else "app-changed")(run)

    world.on("r/0", "in-relation-changed", changed)
    world.on("p/0", "act", at("action"))
    await pair.inside("p/0", at("leader"))
    await pair.inside("p/1", at("follower"))
    await world.until(lambda: {"changed", "app-changed"} <= found.keys())
    await world.call("run", model="m", units=["p/0"], action="act", params={"deep": {"er": 1}})
    assert set(found) == {row.where for row in ROWS}
    wrong = [answer for answers in found.values() for answer in answers]
    assert not wrong, "\n".join(wrong)


async def test_a_trusted_charm_gets_the_cloud_s_credential(pair, tmp_path):
    (tmp_path / "token").write_text("very secret")
    (tmp_path / "ca.crt").write_text("authority")
    await pair.world.call("trust", model="m", application="p")
    agent = pair.world.controller.agents[pair.world.uuid, "p/0"]

    async def without(run):
        return await run.no("credential-get")

    async def code(run):
        return await run.ok("credential-get", "--format=json")

    assert "no Kubernetes" in await pair.inside("p/0", without)
    agent.pod.access = ClusterAccess("127.0.0.1", 6443, tmp_path)
    found = await pair.inside("p/0", code)
    assert (found["type"], found["name"]) == ("kubernetes", "localhost")
    assert found["endpoint"] == "https://127.0.0.1:6443"
    assert found["credential"] == {"auth-type": "oauth2", "attrs": {"Token": "very secret"}}
    assert found["cacertificates"] == ["authority"]


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


async def test_open_ports_are_shown(pair):
    async def code(run):
        await run.ok("open-port", "80/tcp")
        await run.ok("open-port", "--endpoints", "out", "443")

    await pair.inside("p/0", code)
    status = await pair.world.call("status", model="m")
    assert status["applications"]["p"]["units"]["p/0"]["open-ports"] == ["443/tcp", "80/tcp"]


async def test_state_outlives_its_hook(pair):
    async def write(run):
        await run.ok("state-set", "--file", "-", stdin="a: '1'\nb: two\n")
        await run.ok("state-delete", "b")

    async def read(run):
        assert await run.ok("state-get", "--format=json") == {"a": "1"}

    await pair.inside("p/0", write)
    await pair.inside("p/0", read)


async def test_the_leader_sets_the_application_s_status(pair):
    async def leader(run):
        await run.ok("status-set", "--application=True", "waiting", "--", "for all")

    await pair.inside("p/0", leader)
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

    async def later(run):
        # It is the unit's, as on Juju, but its pod has been there before it.
        first, second = await run.ok("storage-list", "--format=json")
        assert await run.ok("storage-get", "-s", first, "kind") == "filesystem\n"
        assert "not provisioned" in await run.no("storage-get", "-s", second)
        return second

    await pair.inside("p/0", code)
    rows = pair.world.controller.state.rows("SELECT * FROM storage WHERE unit='p/0'")
    assert len(rows) == 2
    second = await pair.inside("p/0", later)
    attached = pair.world.hooks("p/0").count("data-storage-attached")
    listed = []

    async def removed(run):
        listed.append(await run.ok("storage-list", "--format=json"))

    for hook in ("data-storage-detaching", "stop"):
        pair.world.on("p/0", hook, removed)
    await pair.world.call("refresh", model="m", application="p", path=str(pair.provider))
    await pair.world.settle()
    assert pair.world.hooks("p/0").count("data-storage-attached") == attached + 1
    await pair.world.call("remove_application", model="m", applications=["p"])
    await pair.world.until(lambda: "remove" in pair.world.hooks("p/0"))
    # Each is listed while it is detached, and none is any more when the unit stops.
    assert [len(found) for found in listed] == [2, 2, 1, 0]
    assert listed[2] == [second]


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
        await run.ok("action-fail", "--", "no good")

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


async def test_bytes_that_are_no_text(pair):
    """They are marked, as they are in Juju, and bring down nothing."""

    async def code(run):
        await run.ok("status-set", "active", "a\udcffb")
        await run.ok("application-version-set", "v\udcff")
        await run.ok("juju-log", "\udcff")
        await run.ok("state-set", "k=\udcff")
        assert await run.ok("state-get", "k") == "\ufffd\n"
        await run.ok("relation-set", "-r", "out:1", "k=\udcff")
        assert "invalid UTF-8" in await run.no(
            "relation-set", "-r", "out:1", "--file", "-", stdin="k: \udcff"
        )
        await run.ok("relation-set", "-r", "out:1", "--file", "-", stdin=r'{"l": "\ud800"}')
        return await run.ok("relation-get", "-r", "out:1", "--format=json", "-", "p/0")

    bag = await pair.inside("p/0", code)
    assert (bag["k"], bag["l"]) == ("\ufffd", "\ufffd")
    assert pair.world.status("p/0") == ("active", "a\ufffdb")


async def test_a_charm_keeps_no_more_than_juju_lets_it(pair):
    world = pair.world

    async def code(run):
        for number in range(33):
            await run.ok("state-set", f"k{number}={'v' * 65000}")

    await pair.inside("p/0", code)
    assert units.get(world.controller.state, world.uuid, "p/0").charm_state == {}
    log = world.controller.house.log(world.uuid).read()
    assert any("max allowed size (2097152) exceeded" in line["message"] for line in log)
