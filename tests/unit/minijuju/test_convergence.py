"""Whatever is asked in whatever order, and however often the controller dies: it converges.

Every unit ends up knowing just the members that there are, with the data they wrote last, and
its charm was told in an order that makes sense.
"""

import asyncio
import contextlib
import json
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minijuju import applications, relations, units
from minijuju.errors import JujuError

APPLICATIONS = ("p", "r")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.sampled_from(APPLICATIONS), st.integers(0, 3)),
        st.tuples(st.just("integrate")),
        st.tuples(st.just("separate")),
        st.tuples(st.just("write"), st.sampled_from(APPLICATIONS)),
        st.tuples(st.just("refresh"), st.sampled_from(APPLICATIONS)),
        st.tuples(st.just("fail"), st.sampled_from(APPLICATIONS)),
        st.tuples(st.just("crash")),
        st.tuples(st.just("down")),
        st.tuples(st.just("wait"), st.integers(0, 40)),
    ),
    max_size=10,
)


class Story:
    """What the charms saw, told by the hooks that ended well."""

    def __init__(self, world):
        self.world = world
        self.failing = defaultdict(int)
        self.seen = defaultdict(dict)
        self.joined = defaultdict(set)
        self.wrong = []

    async def hook(self, run):
        application = run.unit.partition("/")[0]
        if self.failing[application]:
            self.failing[application] -= 1
            return 1
        relation = run.env.get("JUJU_RELATION_ID", "")
        remote = run.env.get("JUJU_REMOTE_UNIT", "")
        key = (run.unit, relation)
        if run.hook == "install":
            for table in (self.seen, self.joined):
                for known in [known for known in table if known[0] == run.unit]:
                    del table[known]
        elif run.hook == "config-changed" or run.hook.endswith("-relation-created"):
            await self.write(run)
        elif run.hook.endswith("-relation-joined"):
            self.joined[key].add(remote)
        elif run.hook.endswith("-relation-changed"):
            if remote not in {"", *self.joined[key]}:
                self.wrong.append((run.unit, run.hook, remote))
            argv = ("relation-get", "--format=json", "-r", relation, "-", remote)
            if remote:
                self.seen[key][remote] = (await run.ok(*argv)).get("n")
        elif run.hook.endswith("-relation-departed"):
            self.joined[key].discard(remote)
            self.seen[key].pop(remote, None)
        elif run.hook.endswith("-relation-broken") and self.joined[key]:
            self.wrong.append((run.unit, run.hook, sorted(self.joined[key])))
        return 0

    async def write(self, run):
        """Write the option to every relation, as a reconciling charm does."""
        number = (await run.ok("config-get", "--format=json"))["n"]
        for endpoint in ("out", "in", "mates"):
            for relation in await run.ok("relation-ids", endpoint, "--format=json"):
                await run.ok("relation-set", "-r", relation, "--file", "-", stdin=f"n: '{number}'")


async def play(world, steps):
    story = Story(world)
    world.on("*", "*", story.hook)
    await world.start()
    await world.call(
        "add_model", name="m", config={"hook-retry-base": "5ms", "hook-retry-max": "20ms"}
    )
    common = {
        "peers": {"mates": {"interface": "mates"}},
        "config": {"options": {"n": {"type": "string", "default": "0"}}},
    }
    await world.deploy("p", world.make_charm("p", provides={"out": {"interface": "i"}}, **common))
    await world.deploy("r", world.make_charm("r", requires={"in": {"interface": "i"}}, **common))
    for number, (step, *values) in enumerate(steps, 1):
        with contextlib.suppress(JujuError):
            await take(world, story, step, values, number)
    story.failing.clear()
    await world.settle()
    check(world, story)


async def take(world, story, step, values, number):
    if step == "scale":
        await world.call("scale_application", model="m", application=values[0], scale=values[1])
    elif step == "integrate":
        await world.call("integrate", model="m", endpoints=["p", "r"])
    elif step == "separate":
        await world.call("remove_relation", model="m", endpoints=["p", "r"])
    elif step == "write":
        await world.call(
            "config_set", model="m", application=values[0], settings={"n": str(number)}
        )
    elif step == "refresh":
        await world.call("refresh", model="m", application=values[0])
    elif step == "fail":
        story.failing[values[0]] += 1
    elif step in ("crash", "down"):
        await world.stop(stop_pods=step == "down")
        await world.start()
    else:
        await asyncio.sleep(values[0] / 1000)


def check(world, story):
    state, model = world.controller.state, world.uuid
    assert not story.wrong
    assert world.status("p/0") is None or world.status("p/0")[0] != "error"
    for name in APPLICATIONS:
        application = applications.get(state, model, name)
        members = units.every(state, model, name)
        assert len(members) == application.scale
        assert (application.leader in {unit.name for unit in members}) == bool(members)
        assert all(unit.local.leader == (unit.name == application.leader) for unit in members)
    for relation in relations.every(state, model):
        scope = relations.scope(state, relation)
        for end in relation.ends:
            remote = relation.other(end.application).application
            for unit in units.every(state, model, end.application):
                others = {
                    name: version
                    for name, version in scope.items()
                    if name.partition("/")[0] == remote and name != unit.name
                }
                assert unit.name in scope
                assert dict(unit.local.relations[relation.id].members) == others
                key = (unit.name, f"{end.endpoint}:{relation.id}")
                assert story.joined[key] == set(others)
                bags = {
                    name: relations.bag(state, model, relation.id, name).get("n")
                    for name in others
                }
                assert story.seen[key] == bags
                assert set(bags.values()) <= {
                    applications.get(state, model, remote).config.get("n", "0")
                }
    assert len(world.pods) == len(units.every(state, model))
    rows = state.rows("SELECT local FROM unit")
    assert all(json.loads(row["local"])["pending"] is None for row in rows)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_it_converges(world_class, steps):
    async def once():
        with tempfile.TemporaryDirectory() as folder:
            world = world_class(Path(folder))
            try:
                await play(world, steps)
            finally:
                await world.stop()

    asyncio.run(once())
