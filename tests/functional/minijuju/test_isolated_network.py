"""A model whose units have networks of their own: charms that take a port on every address."""

import json
import os
import signal
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minijuju.errors import JujuError
from sandbox import isolation
from sandbox.isolation import Isolation
from sandbox.process import Identity

from ...chaos.load import CHARM

GREEDY = CHARM.parent / "greedy"
PATIENCE = 90
ASK = """
import urllib.request
try:
    print(urllib.request.urlopen({url!r}, timeout=20).read().decode())
except OSError as error:
    print("none:", error)
"""


@pytest.fixture(autouse=True)
def possible():
    found = isolation.check()
    if not found.ok:
        pytest.skip(f"{found.found} {found.remedy}")


def ask(site, unit, url):
    """What a program in the unit's charm container is answered."""
    done = site.call("exec", units=[unit], command=["python3", "-c", ASK.format(url=url)])
    return done[unit]["results"]["stdout"].strip()


def fetch(url):
    """What answers here, or None."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()
    except OSError:
        return None


class Secret(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, *_arguments):
        pass


@contextmanager
def secret():
    """A service of the machine at 127.0.0.1; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Secret) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(PATIENCE)


def reachable(site, addresses):
    """Wait until every unit answers at its address, from here and from the first of the others."""
    for name, address in addresses.items():
        other = next(one for one in addresses if one != name)
        site.until(
            lambda a=address, n=name: fetch(f"http://{a}:8080") == n, f"{name} cannot be reached"
        )
        site.until(
            lambda a=address, n=name, o=other: ask(site, o, f"http://{a}") == n,
            f"{name} cannot be reached from {other}",
        )


def test_units_that_take_a_port_on_every_address(faulty):
    site = faulty()
    site.call("model_config", set={"unit-network": "isolated"})
    site.call("deploy", application="web", charm=str(GREEDY), num_units=2)
    site.call("deploy", application="user", charm=str(GREEDY))
    site.call("integrate", endpoints=["web:out", "user:in"])
    site.active("web/0", "web/1", "user/0")
    addresses = {name: unit["address"] for name, unit in site.units().items()}
    assert len(set(addresses.values())) == 3
    reachable(site, addresses)
    # The application's address is balanced, inside on all its ports and outside where one may.
    service = site.call("status")["applications"]["web"]["address"]
    both = {"web/0", "web/1"}
    names = (service, "web", service, "web")
    site.until(
        lambda: {ask(site, "user/0", f"http://{name}") for name in names} == both,
        "the application's address is not balanced inside",
    )
    site.until(
        lambda: {fetch(f"http://{service}:8080") for _ in range(4)} == both,
        "the application's address is not balanced outside",
    )
    # What a relation tells can be used as it is.
    shown = site.call("show_unit", units=["user/0"])["user/0"]["relation-info"][0]
    told = shown["related-units"]["web/1"]["data"]
    assert told["link"] == "eth0"
    assert ask(site, "user/0", told["url"]) in ("web/0", "web/1")
    # Nothing of the machine's loopback is seen.
    with secret() as port:
        assert fetch(f"http://127.0.0.1:{port}") == "secret"
        for address in ("127.0.0.1", addresses["web/0"], service):
            assert ask(site, "web/0", f"http://{address}:{port}").startswith("none:")
    with pytest.raises(JujuError, match="cannot be changed while the model has units"):
        site.call("model_config", reset=["unit-network"])
    survives(site, addresses)
    keeper = Isolation(site.data / "network").identity
    site.call("shutdown")
    site.until(lambda: not keeper.alive(), "the networks' keeper is left")


def survives(site, addresses):
    """Kill the keeper of the networks, and then the controller with it."""
    running = {name: site.container(name, "web") for name in addresses}
    for with_controller in (False, True):
        keeper = Isolation(site.data / "network").identity
        switch = None

        def switched():
            nonlocal switch
            applied = json.loads((site.data / "network" / "applied.json").read_text())
            switch = Identity.of(applied["switch"]["pid"])
            return switch

        site.until(switched, "no switch runs")
        if with_controller:
            site.end()
        os.kill(keeper.pid, signal.SIGKILL)
        if with_controller:
            site.start()
        deadline = time.monotonic() + PATIENCE
        while Isolation(site.data / "network").identity in (None, keeper):
            assert time.monotonic() < deadline, site.log()
            time.sleep(0.05)
        reachable(site, addresses)
        site.until(lambda switch=switch: not switch.alive(), "the old switch is left")
    for name, container in running.items():
        assert container.running(), f"{name} was started anew"
