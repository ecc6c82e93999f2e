#!/usr/bin/env python3
"""A charm for tests that writes down what it was told and what it told others.

Each hook and action is a line of a journal outside of all transactions at once. What it learnt
goes into the unit's state by `state-set`, which the controller keeps only if the hook is
committed. So `runs`, the number of committed hooks, tells in each line whether a hook ran again
after its commit.
"""

import json
import os
import time
from pathlib import Path

import ops
from ops import hookcmds

JOURNAL = Path("/var/lib/witness/journal")
ABOUT = ("RELATION_ID", "REMOTE_UNIT", "DEPARTING_UNIT", "SECRET_ID", "SECRET_REVISION")
LABEL = "round"
WORK = 'echo "$$" >> /data/works; exec sleep 1000000'


def remember(**values: object) -> None:
    """Keep facts with the commit of this hook."""
    hookcmds.state_set({key: str(value) for key, value in values.items()})


def recall(key: str) -> int:
    """A number that an earlier hook kept; 0 if none did."""
    return int(hookcmds.state_get(key) or 0)


def journal(**line: object) -> None:
    """Add a line, whatever becomes of this run; whole, since it is one write."""
    with JOURNAL.open("a") as file:
        file.write(json.dumps(line) + "\n")


class WitnessCharm(ops.CharmBase):
    """Tells the round, and remembers what others told."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        on = self.on
        for event in on.events().values():
            if not issubclass(event.event_type, ops.ActionEvent | ops.LifecycleEvent):
                framework.observe(event, self._witness)
        framework.observe(on.config_changed, self._tell)
        framework.observe(on.leader_elected, self._tell)
        for name in ("in", "out", "mates"):
            framework.observe(on[name].relation_created, self._tell)
            framework.observe(on[name].relation_joined, self._hear)
            framework.observe(on[name].relation_changed, self._hear)
            framework.observe(on[name].relation_departed, self._forget)
        framework.observe(on.secret_changed, self._read)
        framework.observe(on.secret_remove, self._drop)
        framework.observe(on["work"].pebble_ready, self._work)
        framework.observe(on.note_action, self._note)
        framework.observe(on.collect_unit_status, self._status)

    def _witness(self, event: ops.EventBase) -> None:
        runs = recall("runs")
        about = [os.environ.get(f"JUJU_{name}", "") for name in ABOUT]
        journal(runs=runs, hook=os.environ["JUJU_DISPATCH_PATH"].rpartition("/")[2], about=about)
        remember(runs=runs + 1)

    def _tell(self, event: ops.EventBase) -> None:
        number = str(self.config["round"])
        for relation in [one for ends in self.model.relations.values() for one in ends]:
            if relation.active:
                # Two calls, so that half of it could be seen if a commit were not whole.
                relation.data[self.unit]["first"] = number
                relation.data[self.unit]["second"] = number
        self.unit.set_ports(9000 + int(number) % 100)
        if self.unit.is_leader():
            self._lead(number)
        remember(told=number)

    def _lead(self, number: str) -> None:
        out = self.model.relations["out"]
        try:
            secret = self.model.get_secret(label=LABEL)
            secret.set_content({"round": number})
        except ops.SecretNotFoundError:
            secret = self.app.add_secret({"round": number}, label=LABEL)
        for relation in out:
            if relation.active:
                secret.grant(relation)
                relation.data[self.app].update({"secret": secret.id or "", "first": number})
                relation.data[self.app]["second"] = number

    def _hear(self, event: ops.RelationEvent) -> None:
        source = event.unit or event.app
        data = event.relation.data[source]
        if data.get("first") != data.get("second"):
            journal(torn=[source.name, dict(data)])
        key = f"{event.relation.id}-{source.name.replace('/', '-')}"
        remember(**{f"heard-{key}": data.get("first", -1)})
        if event.unit is None and event.relation.name == "in":
            self._follow(data["secret"], refresh=False)

    def _forget(self, event: ops.RelationDepartedEvent) -> None:
        if event.unit is not None:
            key = f"{event.relation.id}-{event.unit.name.replace('/', '-')}"
            hookcmds.state_delete(f"heard-{key}")

    def _read(self, event: ops.SecretChangedEvent) -> None:
        self._follow(event.secret.id or "", refresh=True)

    def _follow(self, identity: str, *, refresh: bool) -> None:
        secret = self.model.get_secret(id=identity)
        content = secret.get_content(refresh=refresh)
        remember(**{f"secret-{identity.rpartition('/')[2].rpartition(':')[2]}": content["round"]})

    def _drop(self, event: ops.SecretRemoveEvent) -> None:
        event.remove_revision()

    def _work(self, event: ops.PebbleReadyEvent) -> None:
        container = event.workload
        service = {"override": "replace", "command": f"sh -c '{WORK}'", "startup": "enabled"}
        container.add_layer("work", {"services": {"work": service}}, combine=True)
        container.replan()

    def _note(self, event: ops.ActionEvent) -> None:
        journal(action=event.id)
        time.sleep(0.2)
        remember(**{f"action-{event.id}": 1})
        event.set_results({"told": str(recall("told"))})

    def _status(self, event: ops.CollectStatusEvent) -> None:
        container = self.unit.get_container("work")
        works = container.can_connect() and container.get_services("work")
        event.add_status(ops.ActiveStatus() if works else ops.WaitingStatus("no work yet"))


if __name__ == "__main__":
    ops.main(WitnessCharm)
