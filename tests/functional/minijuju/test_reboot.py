"""The machine was started anew: no process is left, and all comes back with its data."""

import os
import signal
import sqlite3
from contextlib import closing

from sandbox.process import boot_id
from sandbox.proxy import Proxy

from ...chaos.faults import pebbles
from ...chaos.load import CHARM

ANY = CHARM.parent / "any"


def reboot(site):
    """Kill everything, and have all that was written down be of another boot of the machine."""
    site.end()
    pids = [container.pid for container in pebbles(site.data, "web").values()]
    for pid in [*pids, Proxy(site.data / "proxy").identity.pid]:
        os.kill(pid, signal.SIGKILL)
    site.until(lambda: not pebbles(site.data, "web"), "a Pebble is left")
    now, before = boot_id(), "00000000-0000-4000-8000-000000000000"
    changed = 0
    for path in site.data.rglob("*.json"):
        if path.is_file() and now in (text := path.read_text(errors="surrogateescape")):
            path.write_text(text.replace(now, before), errors="surrogateescape")
            changed += 1
    with closing(sqlite3.connect(site.data / "state.db")) as database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'kernel-boot'", (before,))
        database.commit()
    # Each Pebble's records and the pod's, and the balancer's.
    assert changed > 2 * len(pids)


def test_a_machine_that_was_started_anew(faulty):
    site = faulty()
    site.call("deploy", application="a", charm=str(ANY), config={"message": "kept"})
    site.call("deploy", application="b", charm=str(ANY), num_units=2)
    site.call("integrate", endpoints=["a:out", "b:in"])
    site.active("a/0", "b/0", "b/1")
    before = site.call("show_unit", units=["b/0"])["b/0"]["relation-info"]
    hooks = {name: (site.storage(name) / "hooks").read_text() for name in ("a/0", "b/0", "b/1")}
    addresses = {name: unit["address"] for name, unit in site.units().items()}
    for _ in range(2):
        reboot(site)
        site.start()
        site.active("a/0", "b/0", "b/1")
    assert site.call("show_unit", units=["b/0"])["b/0"]["relation-info"] == before
    assert {name: unit["address"] for name, unit in site.units().items()} == addresses
    assert (site.storage("a/0") / "page").read_text() == "kept"
    for name, ran in hooks.items():
        again = (site.storage(name) / "hooks").read_text().removeprefix(ran).split()
        assert again == ["start", "web_pebble_ready"] * 2
    done = site.call("run", units=["b/0"], action="password")["b/0"]
    assert done["results"]["length"] == "13"
