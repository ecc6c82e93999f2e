"""The controller is killed at any moment: what ran runs on, and what was under way is finished."""

import contextlib
import random
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import groupby
from pathlib import Path

import pytest

from minijuju.client import Client
from minijuju.errors import BadRequestError
from sandbox.proxy import Proxy

from ...chaos.site import MODEL, PATIENCE, Site
from ..processes import contains, processes
from ..waiting import wait

ANY = Path(__file__).parents[2] / "charms" / "any"


class Crashing(Site):
    """A site whose application serves a page and writes its hooks down."""

    def page(self, address):
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=60) as answer:
            return answer.read().decode()

    def pebble(self, unit):
        return self.container(unit, "web")

    def hooks(self, application):
        """What the charm wrote down, the newest last."""
        return (self.storage(f"{application}/0") / "hooks").read_text().split()


@contextlib.contextmanager
def made(folder):
    """A site of its own, which leaves no process."""
    # Longer than a unix socket's path may be.
    data = folder / ("long-" * 20) / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MINIJUJU_KUBECONFIG", raising=False)
        site = Crashing(data)
        retries = {"hook-retry-base": "200ms", "hook-retry-max": "1s"}
        site.call("add_model", name=MODEL, config=retries)
        yield site
        Client(data).call("shutdown")
        assert site.processes() == []


@pytest.fixture
def empty(tmp_path):
    """A site without an application."""
    with made(tmp_path) as site:
        yield site


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    with made(tmp_path_factory.mktemp("site")) as site:
        site.call("deploy", application="a", charm=str(ANY))
        yield site


@pytest.fixture
def site(deployed):
    """One site for the tests that leave its unit well: at rest, with what it serves by default."""
    deployed.call("config_set", application="a", reset=["message"])
    service = deployed.call("status")["applications"]["a"]["address"]
    deployed.until(lambda: deployed.page(service) == "hello", "the page is not served")
    deployed.active("a/0")
    return deployed


def test_what_runs_runs_on(site):
    unit = site.unit("a/0")
    service = site.call("status")["applications"]["a"]["address"]
    # The server may be only just starting when Pebble says that it runs.
    site.until(lambda: site.page(unit["address"]) == "hello", "the page is not served")
    site.until(lambda: site.page(service) == "hello", "the page is not balanced")
    pebble = site.pebble("a/0").pid
    hooks = site.hooks("a")
    before = site.pid()
    site.kill()
    # Nobody is there but the workload and the balancer.
    assert site.page(unit["address"]) == "hello"
    assert site.page(service) == "hello"
    assert site.pebble("a/0").pid == pebble
    # The next call starts it again.
    assert site.pid() != before
    site.active("a/0")
    assert site.pebble("a/0").pid == pebble
    assert site.hooks("a") == hooks
    site.call("config_set", application="a", settings={"message": "again"})
    site.until(lambda: site.page(service) == "again", "the page does not change")
    assert site.hooks("a") == [*hooks, "config_changed"]


def test_a_hook_that_ran_dies_and_runs_again(site):
    site.call("config_set", application="a", settings={"hang-on": "config_changed"})
    count = site.hooks("a").count("config_changed")
    site.until(lambda: site.hooks("a").count("config_changed") > count, "no hook")
    charm = _inside(site, "src/charm.py")
    assert charm
    site.kill()
    wait(lambda: not processes().keys() & charm, "the hook goes with its controller")
    site.call("ping")
    site.until(lambda: site.hooks("a").count("config_changed") > count + 1, "not run again")
    # A hang is not for ever: resolved kills it and the next run has other settings.
    site.call("config_set", application="a", settings={"hang-on": ""})
    with contextlib.suppress(BadRequestError):  # It had not read its config by then, and is well.
        site.call("resolved", units=["a/0"])
    site.active("a/0")


def test_a_killed_controller_leaves_no_warm_interpreter(empty):
    site = empty
    site.call("model_config", set={"hook-warm-start": "true"}, reset=[])
    site.call("deploy", application="warm", charm=str(ANY))
    site.active("warm/0")
    warm = _inside(site, "unit-warm-0/charm/venv/bin/python /dev/fd/")
    # One in the container, which is hung below the one that bubblewrap was.
    assert len(warm) == 1
    site.kill()
    wait(lambda: not processes().keys() & warm, "the interpreter goes with its controller")
    site.active("warm/0")


def _inside(site, text):
    """The processes in the site's containers with a text in their command lines."""
    return {pid for pid, line in processes().items() if text in line and contains(site.data, pid)}


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_while_it_deploys(empty, seed):
    site = empty
    moments = random.Random(seed)
    asked = [
        ("deploy", {"application": "a", "charm": str(ANY), "num_units": 2}),
        ("deploy", {"application": "b", "charm": str(ANY)}),
        ("integrate", {"endpoints": ["a:out", "b:in"]}),
        ("config_set", {"application": "b", "settings": {"message": "b"}}),
    ]
    for method, params in asked:
        site.call(method, **params)
        for _ in range(2):
            time.sleep(moments.uniform(0, 0.8))
            site.kill()
    site.active("a/0", "a/1", "b/0")
    address = site.call("status")["applications"]["b"]["address"]
    site.until(lambda: site.page(address) == "b", "the page is not served")

    def password():
        task = site.call("run", units=["b/0"], action="password")["b/0"]
        return task["results"].get("length") == "13"

    site.until(password, "the secret cannot be read")
    shown = site.call("show_unit", units=["b/0"])["b/0"]["relation-info"]
    (relation,) = [entry for entry in shown if entry["endpoint"] == "in"]
    assert sorted(relation["related-units"]) == ["a/0", "a/1"]
    assert relation["application-data"]["secret"].startswith("secret:")
    # One that was cut off runs again at once, and no other comes before it.
    assert [name for name, _ in groupby(site.hooks("b"))].count("start") == 1
    site.call("remove_application", applications=["a"], destroy_storage=True)
    time.sleep(moments.uniform(0, 0.8))
    site.kill()
    site.until(lambda: set(site.call("status")["applications"]) == {"b"}, "a is not gone")
    site.active("b/0")
    site.until(lambda: len(list(site.data.glob("units/*/*"))) == 1, "a pod is left")


def test_an_action_that_was_cut_off_has_failed(site):
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from minijuju.client import Client; from pathlib import Path;"
            "Client(Path(sys.argv[1])).call('exec', model='t', units=['a/0'],"
            " command=['sleep', '60417'])",
            str(site.data),
        ],
        stderr=subprocess.PIPE,
    )
    try:
        site.until(
            lambda: "commands" in site.unit("a/0")["juju-status"].get("message", ""), "no task"
        )
        site.kill()
        _, error = waiting.communicate(timeout=PATIENCE)
        assert waiting.returncode == 1
        assert b"went away" in error
    finally:
        waiting.kill()
        waiting.wait()
    site.active("a/0")
    wait(lambda: not _inside(site, "sleep 60417"), "the command goes with its controller")


def test_one_controller_for_a_folder(site):
    pid = site.pid()
    second = subprocess.run(
        [sys.executable, "-m", "minijuju.serve", str(site.data)],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 3
    assert site.pid() == pid


def test_many_callers_start_one_controller(site):
    site.kill()
    program = (
        "import sys; from minijuju.client import Client; from pathlib import Path;"
        "print(Client(Path(sys.argv[1])).call('ping')['pid'])"
    )
    callers = [
        subprocess.Popen([sys.executable, "-c", program, str(site.data)], stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    answers = {caller.communicate(timeout=PATIENCE)[0] for caller in callers}
    assert len(answers) == 1
    assert all(caller.returncode == 0 for caller in callers)


def test_down_and_up_again(site):
    site.call("config_set", application="a", settings={"message": "kept"})
    address = site.call("status")["applications"]["a"]["address"]
    site.until(lambda: site.page(address) == "kept", "the page is not changed")
    site.active("a/0")
    hooks = site.hooks("a")
    site.client.call("shutdown")
    assert site.processes() == []
    site.active("a/0")
    address = site.call("status")["applications"]["a"]["address"]
    site.until(lambda: site.page(address) == "kept", "the page is not served")
    assert site.hooks("a")[len(hooks) :] == ["start", "web_pebble_ready"]


def test_a_workload_that_dies_comes_back_with_pebble_ready_alone(site):
    hooks = site.hooks("a")
    site.pebble("a/0").kill("test")
    site.until(lambda: len(site.hooks("a")) > len(hooks), "no hook")
    site.active("a/0")
    assert site.hooks("a")[len(hooks) :] == ["web_pebble_ready"]
    address = site.unit("a/0")["address"]
    site.until(lambda: site.page(address) == "hello", "the page is not served")


def test_a_killed_balancer_is_started_again(site):
    service = site.call("status")["applications"]["a"]["address"]
    site.until(lambda: site.page(service) == "hello", "the page is not served")
    balancer = Proxy(site.data / "proxy").identity
    balancer.signal(signal.SIGKILL)
    # Nothing changes in the model meanwhile.
    site.until(lambda: not balancer.alive() and site.page(service) == "hello", "not served again")


def test_state_is_private(site):
    """Nobody else on the machine may read it, also what SQLite keeps beside the database."""
    assert site.data.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in site.data.glob("*") if path.is_file() or path.is_socket()}
    assert {"state.db", "state.db-wal", "controller.log", "controller.socket"} <= names
    for path in [*site.data.glob("*"), *site.data.glob("logs/*"), *site.data.glob("units/*/*")]:
        with contextlib.suppress(FileNotFoundError):  # A file of a moment.
            assert path.stat().st_mode & 0o077 == 0 or path.name == "client.json", path
