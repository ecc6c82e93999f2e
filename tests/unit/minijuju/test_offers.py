"""Offers and relations across models, with a whole controller: each side sees the other."""

import json

import pytest

from minijuju import offers, relations
from minijuju.errors import AlreadyExistsError, BadRequestError, NotFoundError

DB = {"provides": {"db": {"interface": "pgsql"}, "one": {"interface": "solo", "limit": 1}}}
APP = {
    "requires": {"db": {"interface": "pgsql"}, "solo": {"interface": "solo"}},
    "peers": {"ring": {"interface": "ring"}},
}


@pytest.fixture
async def two(world):
    """`db` in the model m, offered; `app` in the model n."""
    await world.call("add_model", name="n")
    await world.deploy("db", charm=world.make_charm("db", **DB))
    await put(world, "app", "n")
    await world.settle()
    made = await world.call("offer", model="m", application="db", endpoints=["db", "one"])
    assert made == {"url": "admin/m.db", "endpoints": ["db", "one"]}
    return world


async def put(world, name, model, units=1):
    await world.call(
        "deploy",
        model=model,
        application=name,
        charm=str(world.make_charm(name, **APP)),
        num_units=units,
    )


def uuid(world, name):
    return world.controller.state.row("SELECT uuid FROM model WHERE name = ?", name)[0]


def halves(world):
    """The relation between the two, as each model has it."""
    state = world.controller.state
    here = [r for r in relations.every(state, uuid(world, "n"), "app") if not r.peer]
    there = relations.every(state, uuid(world, "m"), "db")
    return here, there


async def related(world, side="admin/m.db:db"):
    await world.call("integrate", model="n", endpoints=["app:db", side])
    await world.settle()


async def test_the_two_see_each_other(two):
    async def write(run):
        relation = run.env["JUJU_RELATION_ID"]
        await run.ok("relation-set", "-r", relation, f"from={run.unit}")
        await run.ok("relation-set", "-r", relation, "--app", f"app={run.unit}")

    seen = {}

    async def read(run):
        remote = run.env["JUJU_REMOTE_UNIT"]
        bag = await run.ok("relation-get", "--format=json", "-", remote)
        app = await run.ok("relation-get", "--format=json", "--app", "-", remote)
        model = await run.ok("relation-model-get", "--format=json")
        listed = await run.ok("relation-list", "--format=json")
        seen[run.unit] = (remote, run.env["JUJU_REMOTE_APP"], bag, app, model["uuid"], listed)

    for name in ("db", "app"):
        two.on(name, "db-relation-created", write)
        two.on(name, "db-relation-joined", read)
    await related(two)
    (here,), (there,) = halves(two)
    proxy = there.other("db").application
    assert proxy.startswith("remote-")
    assert len(proxy) == len("remote-") + 32
    remote, app, bag, data, model, listed = seen["app/0"]
    assert (remote, app, listed) == ("db/0", "db", ["db/0"])
    assert (bag["from"], data, model) == ("db/0", {"app": "db/0"}, uuid(two, "m"))
    remote, app, bag, data, model, listed = seen["db/0"]
    assert (remote, app, listed) == (f"{proxy}/0", proxy, [f"{proxy}/0"])
    assert (bag["from"], data, model) == ("app/0", {"app": "app/0"}, uuid(two, "n"))
    assert {"ingress-address", "egress-subnets"} <= set(bag)
    # Both halves hold the same, and a peer relation has its own model.
    state = two.controller.state
    for one, name, other, alias in (
        (here, "app/0", there, f"{proxy}/0"),
        (there, "db/0", here, "db/0"),
    ):
        held = relations.bag(state, one.model, one.id, name)
        assert held == relations.bag(state, other.model, other.id, alias)


async def test_a_change_at_one_side_is_a_hook_at_the_other(two):
    await related(two)
    before = len(two.hooks("db/0"))

    async def write(run):
        await run.ok("relation-set", "-r", f"db:{halves(two)[0][0].id}", "again=1")

    two.on("app", "update-status", write)
    two.on("app", "config-changed", write)
    await two.call("trust", model="n", application="app")
    await two.settle()
    assert two.hooks("db/0")[before:] == ["db-relation-changed"]


async def test_units_come_and_go_at_both_sides(two):
    await related(two)
    await two.call("add_unit", model="m", application="db")
    await two.call("add_unit", model="n", application="app")
    await two.settle()
    (here,), (there,) = halves(two)
    proxy = there.other("db").application
    state = two.controller.state
    assert set(relations.scope(state, here)) == {"app/0", "app/1", "db/0", "db/1"}
    assert set(relations.scope(state, there)) == {"db/0", "db/1", f"{proxy}/0", f"{proxy}/1"}
    before = len(two.hooks("app/0"))
    await two.call("scale_application", model="m", application="db", scale=1)
    await two.settle()
    assert two.hooks("app/0")[before:] == ["db-relation-departed"]
    assert set(relations.scope(state, here)) == {"app/0", "app/1", "db/0"}


@pytest.mark.parametrize("model", ["m", "n"])
async def test_the_relation_can_be_removed_from_either_side(two, model):
    await related(two)
    proxy = halves(two)[1][0].other("db").application
    sides = {"m": ["db:db", proxy], "n": ["app:db", "db"]}[model]
    before = {unit: len(two.hooks(unit)) for unit in ("db/0", "app/0")}
    await two.call("remove_relation", model=model, endpoints=sides)
    await two.settle()
    assert halves(two) == ([], [])
    for unit, count in before.items():
        assert two.hooks(unit)[count:] == ["db-relation-departed", "db-relation-broken"]
    assert two.controller.state.row("SELECT count(*) FROM crossing")[0] == 0


async def test_a_proxy_keeps_its_name(two):
    await related(two)
    await two.call("integrate", model="n", endpoints=["app:solo", "db:one"])
    await two.settle()
    first, second = halves(two)[1]
    assert first.other("db").application == second.other("db").application
    # The offering application's limit counts every consumer.
    await put(two, "more", "n")
    with pytest.raises(BadRequestError, match="would exceed its maximum relation limit of 1"):
        await two.call("integrate", model="n", endpoints=["more:solo", "db:one"])
    assert len(halves(two)[1]) == 2


async def test_status_at_both_sides(two):
    await two.call("consume", model="n", url="m.db", name="store")
    await two.call("integrate", model="n", endpoints=["app", "store:db"])
    await two.settle()
    status = await two.call("status", model="n")
    saas = status["application-endpoints"]["store"]
    assert saas["url"] == "admin/m.db"
    assert saas["endpoints"]["db"] == {"interface": "pgsql", "role": "provider"}
    assert saas["relations"] == {"db": ["app"]}
    assert saas["application-status"]["current"] == "unknown"
    (entry,) = status["applications"]["app"]["relations"]["db"]
    assert entry["related-application"] == "store"
    assert list(status["applications"]) == ["app"]
    status = await two.call("status", model="m")
    offer = status["offers"]["db"]
    assert (offer["application"], offer["active-connected-count"]) == ("db", 1)
    assert set(offer["endpoints"]) == {"db", "one"}
    assert "application-endpoints" not in status
    listed = (await two.call("offers", model="m"))["db"]
    (connection,) = listed["connections"]
    assert connection["source-model-uuid"] == uuid(two, "n")
    assert (connection["endpoint"], connection["status"]["current"]) == ("db", "joined")
    goal = {}

    async def ask(run):
        goal.update(await run.ok("goal-state", "--format=json"))

    two.on("app", "config-changed", ask)
    await two.call("trust", model="n", application="app")
    await two.settle()
    assert set(goal["relations"]["db"]) == {"store", "store/0"}
    unit = (await two.call("show_unit", model="n", units=["app/0"]))["app/0"]
    info = next(one for one in unit["relation-info"] if one["endpoint"] == "db")
    assert list(info["related-units"]) == ["store/0"]


async def test_consuming(two):
    for _ in range(2):
        made = await two.call("consume", model="n", url="minijuju:admin/m.db")
        assert made == {"name": "db", "url": "admin/m.db"}
    await two.call("consume", model="n", url="m.db", name="other")
    with pytest.raises(AlreadyExistsError, match="application already exists"):
        await two.call("consume", model="n", url="m.db", name="app")
    with pytest.raises(AlreadyExistsError, match="saas application with same name"):
        await put(two, "db", "n")
    await two.call("offer", model="m", application="db", endpoints=["db"], name="second")
    with pytest.raises(AlreadyExistsError, match='saas application "db" already exists'):
        await two.call("consume", model="n", url="m.second", name="db")
    with pytest.raises(NotFoundError, match=r'application offer "m\.none" not found'):
        await two.call("consume", model="n", url="m.none")
    with pytest.raises(NotFoundError, match=r'application offer "x\.db" not found'):
        await two.call("consume", model="n", url="x.db")
    for url in ("db", "a/b/c.d", "m.db:db", ""):
        with pytest.raises(BadRequestError):
            await two.call("consume", model="n", url=url)
    with pytest.raises(BadRequestError, match="between two saas"):
        await two.call("integrate", model="n", endpoints=["db:db", "other:db"])
    # In the model of the offer its address means the application.
    with pytest.raises(BadRequestError, match="itself"):
        await two.call("integrate", model="m", endpoints=["db:db", "admin/m.db:db"])


async def test_offering(two):
    for wrong in (["none"], ["juju-info", "none"], []):
        with pytest.raises(BadRequestError):
            await two.call("offer", model="m", application="db", endpoints=wrong)
    with pytest.raises(BadRequestError, match="invalid offer name"):
        await two.call("offer", model="m", application="db", endpoints=["db"], name="No Name")
    with pytest.raises(NotFoundError):
        await two.call("offer", model="m", application="none", endpoints=["db"])
    await two.call("offer", model="m", application="db", endpoints=["db"])
    offer = offers.find(two.controller.state, uuid(two, "m"), "db")
    assert offer.endpoints == ("db",)
    found = await two.call("find_offers", interface="pgsql")
    assert list(found) == ["admin/m.db"]
    assert await two.call("show_offer", url="m.db") == found
    assert await two.call("find_offers", interface="none") == {}
    assert await two.call("find_offers", model="n") == {}
    assert list(await two.call("find_offers", model="m", offer="db")) == ["admin/m.db"]


async def test_what_is_in_use_does_not_go(two):
    await related(two)
    with pytest.raises(BadRequestError, match="offer has 1 relation"):
        await two.call("remove_offer", urls=["m.db"])
    with pytest.raises(BadRequestError, match="application is used by 1 consumer"):
        await two.call("remove_application", model="m", applications=["db"])
    await two.call("remove_offer", urls=["m.db"], force=True)
    await two.settle()
    assert halves(two) == ([], [])
    saas = (await two.call("status", model="n"))["application-endpoints"]["db"]
    assert saas["application-status"]["current"] == "terminated"
    with pytest.raises(NotFoundError, match="is gone"):
        await two.call("integrate", model="n", endpoints=["app:db", "db"])
    await two.call("remove_application", model="m", applications=["db"])
    await two.until(lambda: not two.unit("db/0"))


async def test_a_saas_goes_with_its_relations(two):
    await related(two)
    with pytest.raises(NotFoundError, match='saas application "none" not found'):
        await two.call("remove_saas", model="n", names=["db", "none"])
    with pytest.raises(BadRequestError, match="see remove-application"):
        await two.call("remove_saas", model="n", names=["app"])
    assert len(halves(two)[0]) == 1
    await two.call("remove_saas", model="n", names=["db"])
    await two.until(lambda: not offers.consumed(two.controller.state, uuid(two, "n")))
    await two.settle()
    assert halves(two) == ([], [])
    assert two.hooks("db/0")[-1] == "db-relation-broken"
    await two.call("remove_offer", urls=["m.db"])


@pytest.mark.parametrize(("going", "left"), [("m", "app/0"), ("n", "db/0")])
async def test_a_model_goes_and_the_other_side_hears_of_it(two, going, left):
    await related(two)
    await two.call("destroy_model", model=going)
    await two.until(lambda: two.hooks(left)[-1] == "db-relation-broken")
    await two.settle()
    assert not two.controller.state.row("SELECT count(*) FROM crossing")[0]


async def test_it_survives_the_controller(two):
    await related(two)
    await two.stop()
    await two.start()
    await two.call("add_unit", model="n", application="app")
    await two.settle()
    _, (there,) = halves(two)
    assert len(relations.scope(two.controller.state, there)) == 3
    row = two.controller.state.row("SELECT endpoints FROM offer")
    assert json.loads(row[0]) == ["db", "one"]


async def test_a_secret_goes_across(two):
    """Granted over the relation, read by the other model's unit, which hears of what is new."""
    made = {}

    async def add(run):
        relation = run.env["JUJU_RELATION_ID"]
        made["uri"] = (await run.ok("secret-add", "key=one")).strip()
        await run.ok("secret-grant", "-r", relation, made["uri"])
        await run.ok("secret-grant", "-r", relation, made["uri"])
        await run.ok("relation-set", "-r", relation, "--app", f"secret={made['uri']}")

    seen = []

    async def read(run):
        uri = await run.ok("relation-get", "--format=json", "--app", "secret", "db")
        seen.append(await run.ok("secret-get", "--format=json", uri, "--label", "mine"))
        # The same by its address among models.
        far = f"secret://{uuid(two, 'm')}/{made['uri'].removeprefix('secret:')}"
        assert await run.ok("secret-get", "--format=json", far, "key") == seen[-1]["key"]
        # It is read, and no more.
        assert "not found" in await run.no("secret-info-get", uri)
        assert "not found" in await run.no("secret-set", uri, "key=x")

    async def changed(run):
        assert run.env["JUJU_SECRET_ID"].startswith(f"secret://{uuid(two, 'm')}/")
        assert run.env["JUJU_SECRET_LABEL"] == "mine"
        assert await run.ok("secret-get", "--format=json", "--label", "mine") == {"key": "one"}
        uri = run.env["JUJU_SECRET_ID"]
        seen.append(await run.ok("secret-get", "--format=json", uri, "--refresh"))

    two.on("db", "db-relation-created", add)
    two.on("app", "db-relation-changed", read)
    two.on("app", "secret-changed", changed)
    await related(two)
    assert {"key": "one"} in seen

    async def revise(run):
        await run.ok("secret-set", made["uri"], "key=two")

    two.on("db", "config-changed", revise)
    await two.call("trust", model="m", application="db")
    await two.settle()
    assert seen[-1] == {"key": "two"}
    # Nobody needs the first revision any more.
    (removed,) = [run for run in two.ran["db/0"] if run.hook == "secret-remove"]
    assert removed.env["JUJU_SECRET_REVISION"] == "1"
    shown = await two.call("show_secret", model="m", secret=made["uri"])
    (access,) = next(iter(shown.values()))["access"]
    assert access["target"].startswith("remote-")


async def test_a_secret_stays_hidden_from_those_who_were_not_granted_it(two):
    made = {}

    async def add(run):
        made["uri"] = (await run.ok("secret-add", "key=one")).strip()

    errors = []

    async def read(run):
        errors.append(await run.no("secret-get", made["uri"]))

    two.on("db", "config-changed", add)
    await two.call("trust", model="m", application="db")
    await two.settle()
    two.on("app", "config-changed", read)
    await two.call("trust", model="n", application="app")
    await two.settle()
    assert "not found" in errors[-1]
    await related(two)
    await two.call("trust", model="n", application="app", remove=True)
    await two.settle()
    assert "permission denied" in errors[-1]


async def test_a_grant_across_ends_with_its_relation(two):
    made = {}

    async def add(run):
        made["uri"] = (await run.ok("secret-add", "key=one")).strip()
        await run.ok("secret-grant", "-r", run.env["JUJU_RELATION_ID"], made["uri"])

    async def read(run):
        await run.ok("secret-get", made["uri"])

    two.on("db", "db-relation-created", add)
    two.on("app", "db-relation-joined", read)
    await related(two)
    state = two.controller.state
    assert state.row("SELECT count(*) FROM secret_remote_consumer")[0] == 1
    await two.call("remove_relation", model="n", endpoints=["app:db", "db"])
    await two.settle()
    assert state.row("SELECT count(*) FROM secret_grant")[0] == 0
    assert state.row("SELECT count(*) FROM secret_remote_consumer")[0] == 0


async def test_a_suspended_relation_is_left_and_joined_again(two):
    await related(two)
    (here,), (there,) = halves(two)
    before = {unit: len(two.hooks(unit)) for unit in ("db/0", "app/0")}
    with pytest.raises(BadRequestError, match="which is not associated with an offer"):
        await two.call("suspend_relation", model="n", ids=[here.id], suspended=True)
    with pytest.raises(NotFoundError, match='relation "77" not found'):
        await two.call("suspend_relation", model="m", ids=[77], suspended=True)
    await two.call(
        "suspend_relation", model="m", ids=[there.id], suspended=True, message="a while"
    )
    await two.settle()
    for unit, count in before.items():
        assert two.hooks(unit)[count:] == ["db-relation-departed", "db-relation-broken"]
    (connection,) = (await two.call("offers", model="m"))["db"]["connections"]
    assert (connection["status"]["current"], connection["status"]["message"]) == (
        "suspended",
        "a while",
    )
    shown = (await two.call("status", model="n"))["relations"]
    assert "suspended a while" in [entry["message"] for entry in shown]
    # A unit that comes meanwhile stays out of it.
    await two.call("add_unit", model="n", application="app")
    await two.settle()
    assert "db-relation-created" not in two.hooks("app/1")
    before = {unit: len(two.hooks(unit)) for unit in ("db/0", "app/0")}
    await two.call("suspend_relation", model="m", ids=[there.id], suspended=False)
    await two.settle()
    assert two.hooks("app/0")[before["app/0"] :] == [
        "db-relation-created",
        "db-relation-joined",
        "db-relation-changed",
    ]
    assert two.hooks("db/0")[before["db/0"] :].count("db-relation-joined") == 2
