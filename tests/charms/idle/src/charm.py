#!/usr/bin/env python3
"""A charm for benches that does next to nothing."""

import json
import os
import subprocess
import time

import ops


class IdleCharm(ops.CharmBase):
    """Says what its config says, or how many units it knows."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        framework.observe(self.on.config_changed, self._say)
        for name in ("in", "out"):
            framework.observe(self.on[name].relation_joined, self._say)

    def _say(self, event: ops.EventBase) -> None:
        known = sum(len(one.units) for ends in self.model.relations.values() for one in ends)
        text = f"knows {known}" if known else str(self.config["message"])
        self.unit.status = ops.ActiveStatus(text)


def measure() -> None:
    """Outside of ops, which would hold its state from the hooks that are called."""
    parameters = subprocess.run(
        ["action-get", "--format=json"], check=True, capture_output=True
    ).stdout
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("JUJU_ACTION_")
    }
    environment["JUJU_HOOK_NAME"] = "config-changed"
    environment["JUJU_DISPATCH_PATH"] = "hooks/config-changed"
    times = []
    for _ in range(json.loads(parameters)["count"]):
        began = time.perf_counter()
        subprocess.run(["./dispatch"], env=environment, check=True, stdout=subprocess.DEVNULL)
        times.append(round((time.perf_counter() - began) * 1000, 1))
    subprocess.run(["action-set", f"times={json.dumps(times)}"], check=True)


if __name__ == "__main__":
    if os.environ.get("JUJU_ACTION_NAME") == "floor":
        measure()
    else:
        ops.main(IdleCharm)
