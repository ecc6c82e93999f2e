"""What must hold of a model that has come to rest after a storm."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.faults import children, pebbles
from tests.chaos.load import Load
from tests.chaos.site import Site, at_rest

from minijuju import pebble_api

OPEN = ("pending", "running")


@dataclass(frozen=True)
class View:
    """The model as the database has it at one moment."""

    applications: dict[str, dict[str, Any]]
    units: dict[str, dict[str, Any]]
    relations: dict[int, dict[str, Any]]
    bags: dict[tuple[int, str], dict[str, str]]
    scope: dict[int, set[str]]
    tasks: dict[int, dict[str, Any]]
    secrets: dict[str, dict[str, Any]]
    followed: list[tuple[str, str, int]]
    damage: str

    @classmethod
    def of(cls, site: Site) -> View:
        """Read it, in one transaction."""
        with site.database() as database:

            def rows(table: str) -> list[dict[str, Any]]:
                return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]

            units = {row["name"]: row for row in rows("unit")}
            for unit in units.values():
                unit["local"] = json.loads(unit["local"])
                unit["state"] = json.loads(unit["charm_state"])
            relations = {row["id"]: row for row in rows("relation")}
            for relation in relations.values():
                relation["ends"] = json.loads(relation["endpoints"])
            scope: dict[int, set[str]] = {number: set() for number in relations}
            for row in rows("scope"):
                scope[row["relation"]].add(row["unit"])
            return cls(
                applications={
                    row["name"]: {**row, "config": json.loads(row["config"])}
                    for row in rows("application")
                },
                units=units,
                relations=relations,
                bags={
                    (row["relation"], row["entity"]): json.loads(row["settings"])
                    for row in rows("bag")
                },
                scope=scope,
                tasks={row["id"]: row for row in rows("task")},
                secrets={row["id"]: row for row in rows("secret")},
                followed=[
                    (row["secret"], row["unit"], row["revision"])
                    for row in rows("secret_consumer")
                ],
                damage=database.execute("PRAGMA integrity_check(1)").fetchone()[0],
            )

    def round(self, application: str) -> int:
        """What the application was last told to tell."""
        return int(self.applications[application]["config"].get("round", 0))

    def others(self, relation: dict[str, Any], application: str) -> tuple[str, list[str]]:
        """The application across a relation, and the units in scope there."""
        names = [end[0] for end in relation["ends"]]
        other = next((name for name in names if name != application), application)
        units = [one for one in self.scope[relation["id"]] if one.partition("/")[0] == other]
        return other, sorted(units)


def unrest(site: Site) -> list[str]:
    """What is still to happen; empty for a model at rest, in which nothing was lost."""
    view = View.of(site)
    found = [
        f"{name} is {unit['workload-status']} and {unit['juju-status']}"
        for name, unit in site.units().items()
        if not at_rest(unit)
    ]
    found += [
        f"task {number} of {task['unit']} is {task['status']}"
        for number, task in view.tasks.items()
        if task["status"] in OPEN
    ]
    found += [
        f"relation {number} is {one['life']}"
        for number, one in view.relations.items()
        if one["life"] != "alive"
    ]
    for name, application in view.applications.items():
        place = (application["address"], 9000 + view.round(name) % 100)
        try:
            socket.create_connection(place, timeout=5).close()
        except OSError as error:
            found.append(f"nobody serves {name} at {place}: {error}")
    boots = asyncio.run(_boots(site))
    for name, unit in view.units.items():
        found += [f"{name}: {text}" for text in _unit_unrest(view, name, unit, boots.get(name))]
    return found


def _unit_unrest(view: View, name: str, unit: dict[str, Any], boot: str | None) -> Iterator[str]:
    application, state, local = unit["application"], unit["state"], unit["local"]
    told = view.round(application)
    if unit["life"] != "alive":
        yield f"it is {unit['life']}"
    if local["charm_version"] != view.applications[application]["charm_version"]:
        yield f"its charm is {local['charm_version']}"
    if local["pending"] or local["task"] or local["upgrading"]:
        yield f"pending: {local['pending']} {local['task']}"
    if int(state.get("told", -1)) != told:
        yield f"it told {state.get('told')} of {told}"
    if not boot or local["containers"].get("work") != boot:
        yield f"pebble-ready ran for {local['containers'].get('work')}, Pebble is {boot}"
    if [port["from"] for port in json.loads(unit["ports"])] != [9000 + told % 100]:
        yield f"open are {unit['ports']}"
    for number, relation in view.relations.items():
        if application not in [end[0] for end in relation["ends"]]:
            continue
        if name not in view.scope[number]:
            yield f"it is not in relation {number}"
        if view.bags.get((number, name), {}).get("first") != str(told):
            yield f"relation {number} has {view.bags.get((number, name))} of it"
        other, members = view.others(relation, application)
        if sorted(local["relations"].get(str(number), {}).get("members", {})) != [
            one for one in members if one != name
        ]:
            yield f"in relation {number} it knows {local['relations'].get(str(number))}"
        for source in members:
            bag = view.bags.get((number, source), {})
            heard = state.get(f"heard-{number}-{source.replace('/', '-')}")
            if source != name and heard != bag.get("first"):
                yield f"of {source} in relation {number} it heard {heard}, told was {bag}"
        bag = view.bags.get((number, other), {})
        if "secret" in bag and other != application:
            yield from _secret_unrest(view, name, state, number, other, bag)


def _secret_unrest(
    view: View, name: str, state: dict[str, Any], number: int, other: str, bag: dict[str, str]
) -> Iterator[str]:
    heard = state.get(f"heard-{number}-{other}")
    if heard != bag["first"] or heard != str(view.round(other)):
        yield f"of {other} in relation {number} it heard {heard}, told was {bag}"
    identity = bag["secret"].rpartition("/")[2].rpartition(":")[2]
    if identity not in view.secrets:
        yield f"the secret {identity} of {other} is gone"
        return
    latest = view.secrets[identity]["latest"]
    if (identity, name, latest) not in view.followed:
        yield f"it follows {view.followed}, latest is {identity}/{latest}"
    if state.get(f"secret-{identity}") != str(view.round(other)):
        yield f"it read {state.get(f'secret-{identity}')} of the round {view.round(other)}"


async def _boots(site: Site) -> dict[str, str]:
    """The boot id of each unit's Pebble that answers."""
    found = {}
    for name, container in pebbles(site.data).items():
        client = pebble_api.Pebble(container.directory.parent / "charm")
        try:
            found[name] = await client.boot_id()
        except pebble_api.PebbleUnavailableError:
            continue
        finally:
            await client.close()
    return found


def faults(site: Site, load: Load, killed: Counter[str]) -> list[str]:
    """What is wrong with a model at rest: hooks that ran twice, torn writes, broken promises.

    Args:
        site: the site.
        load: what was promised.
        killed: how often each unit's Pebble was ended.
    """
    view = View.of(site)
    found = [] if view.damage == "ok" else [f"the database is damaged: {view.damage}"]
    for name, application in view.applications.items():
        members = [unit for unit in view.units if unit.partition("/")[0] == name]
        leading = [unit for unit in members if view.units[unit]["local"]["leader"]]
        if leading != [application["leader"]]:
            found.append(f"{name} is led by {application['leader']}, and {leading} think so")
        if view.round(name) < load.rounds[name]:
            found.append(f"{name} has round {view.round(name)}, promised {load.rounds[name]}")
    found += [f"the promised task {number} is gone" for number in load.tasks - set(view.tasks)]
    for name, unit in view.units.items():
        lines = [json.loads(line) for line in _journal(site, name)]
        found += [f"{name}: {text}" for text in _torn(lines)]
        ends = killed[name] + load.refreshed[unit["application"]]
        found += [f"{name}: {text}" for text in _hooks(view, unit, lines, ends)]
        found += [f"{name}: {text}" for text in _tasks(view, name, unit["state"], lines)]
    return found


def _journal(site: Site, unit: str) -> list[str]:
    path = site.storage(unit) / "journal"
    return path.read_text().splitlines()


def _torn(lines: list[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        if "torn" in line:
            yield f"half of a databag was seen: {line['torn']}"


def _hooks(
    view: View, unit: dict[str, Any], lines: list[dict[str, Any]], ends: int
) -> Iterator[str]:
    """Each hook ran until its commit, and never after it; what must come once came once."""
    runs: dict[int, tuple[str, ...]] = {}
    last = 0
    for line in lines:
        if "runs" not in line:
            continue
        number, what = line["runs"], (line["hook"], *line["about"])
        if number not in (last, last + 1) or (number > 0 and number - 1 not in runs):
            yield f"a hook was lost or undone: {what} is the {number}th after the {last}th"
        # The old pod's `stop` is not tried again.
        gone = number in runs and (_gone(view, runs[number]) or runs[number][0] == "stop")
        if number in runs and runs[number] != what and not gone:
            yield f"{runs[number]} was cut off, and {what} ran instead"
        runs[number], last = what, number
    if int(unit["state"].get("runs", 0)) != last + 1:
        yield f"{unit['state'].get('runs')} hooks are committed, the last that ran is {last}"
    times = Counter(runs.values())
    for what, count in times.items():
        name = what[0]
        once = name in ("install", "leader-elected", "data-storage-attached", "secret-remove")
        if (once or name.endswith("-relation-created")) and count > 1:
            yield f"{what} was committed {count} times"
        if name == "start" and count > 1 + ends:
            yield f"start was committed {count} times, the pod ended {ends} times"
        if name.endswith("-relation-joined"):
            departed = (what[0].replace("joined", "departed"), *what[1:3], what[2], *what[4:])
            if count - times[departed] not in (0, 1):
                yield f"{what} was committed {count} times, departed {times[departed]}"
    for number, relation in view.relations.items():
        for end in relation["ends"]:
            created = sum(
                count
                for what, count in times.items()
                if what[0].endswith("-relation-created") and what[1].endswith(f":{number}")
            )
            if end[0] == unit["application"] and created != 1:
                yield f"relation-created of {number} was committed {created} times"


def _gone(view: View, what: tuple[str, ...]) -> bool:
    """Whether a hook is about a relation that is no more."""
    number = what[1].rpartition(":")[2]
    return bool(number) and int(number) not in view.relations


def _tasks(
    view: View, name: str, state: dict[str, Any], lines: list[dict[str, Any]]
) -> Iterator[str]:
    """No action ran twice; what is told to have been done was, and nothing else."""
    ran = Counter(int(line["action"]) for line in lines if "action" in line)
    for number, task in view.tasks.items():
        if task["unit"] != name or task["kind"] != "action":
            continue
        if task["enqueued"] < view.units[name]["created"]:
            # Of a unit that had the same name.
            continue
        done = f"action-{number}" in state
        if ran[number] > 1:
            yield f"action {number} ran {ran[number]} times"
        if (task["status"] == "completed") != done or (done and not ran[number]):
            yield f"action {number} is {task['status']}, and committed: {done}"
        if task["status"] not in ("completed", "failed", "aborted", "cancelled"):
            yield f"action {number} is {task['status']}"


@dataclass(frozen=True)
class Pod:
    """What runs of a unit that was made at a certain time: its Pebble and its workload."""

    created: float
    pebble: int
    works: list[int]


def pods(site: Site) -> dict[str, Pod]:
    """The pod of each unit, as far as it runs."""
    created = {name: unit["created"] for name, unit in View.of(site).units.items()}
    return {
        name: Pod(created[name], container.pid, sorted(children(container.pid)))
        for name, container in pebbles(site.data).items()
        if name in created
    }
