"""Parts that are stopped, not killed: waits are bounded, and it is told who does not answer."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from minijuju import client, rpc_names
from minijuju.errors import TimedOutError

from ...chaos.faults import hooks
from ...chaos.load import CHARM
from ...chaos.site import PATIENCE, Site

ANY = CHARM.parent / "any"


@contextlib.contextmanager
def stopped(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_stopped_controller_is_told_by_its_process(faulty, monkeypatch):
    site = faulty()
    pid = site.pid()
    monkeypatch.setattr(client, "GREETING_TIMEOUT", 0.5)

    @contextlib.contextmanager
    def unanswered():
        # One that is only busy has its time to greet.
        with stopped(pid), monkeypatch.context() as patch:
            patch.setattr(rpc_names, "GREETING_TIMEOUT", 0.5)
            yield

    told = rf"the controller \(process {pid}\) does not answer for 0 s: it is stopped or busy"
    with unanswered():
        with pytest.raises(TimedOutError, match=told):
            site.call("status")
        # Nor does a caller that might start one start another.
        with pytest.raises(TimedOutError, match=told):
            Site(site.data).call("status")
    assert site.pid() == pid
    # In the middle of a request as well; one that only takes long is waited for.
    site.call("deploy", application="a", charm=str(ANY))
    site.active("a/0")
    assert site.call("exec", units=["a/0"], command=["sleep", "2"])["a/0"]["status"] == "completed"
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(site.call, "exec", units=["a/0"], command=["sleep", "60418"])
        site.until(lambda: _sleeping(site), "the command does not run")
        with unanswered(), pytest.raises(TimedOutError, match=told):
            asked.result(PATIENCE)
    # What was asked for goes on.
    with site.database() as database:
        row = database.execute("SELECT id FROM task WHERE status = 'running'").fetchone()
    site.call("cancel_task", ids=[row["id"]])
    site.active("a/0")


def test_a_stopped_hook_holds_up_nobody_else_and_ends_by_resolved(faulty):
    site = faulty()
    site.call("deploy", application="a", charm=str(ANY), config={"hang-on": "config_changed"})
    site.call("deploy", application="b", charm=str(ANY))
    site.active("b/0")
    site.until(
        lambda: "config_changed" in (site.storage("a/0") / "hooks").read_text(),
        "the hook does not run",
    )
    running = [*hooks(site.data, "a/0")]
    assert running
    with stopped(*running):
        site.call("config_set", application="b", settings={"message": "on"})
        site.until(lambda: "on" in (site.storage("b/0") / "page").read_text(), "b is held up")
        assert site.unit("a/0")["juju-status"]["current"] == "executing"
        site.call("config_set", application="a", settings={"hang-on": ""})
        site.call("resolved", units=["a/0"])
        site.active("a/0")


def test_a_stopped_action_ends_when_it_is_cancelled(faulty):
    site = faulty()
    site.call("deploy", application="a", charm=str(ANY))
    site.active("a/0")
    asked = site.call("exec", units=["a/0"], command=["sleep", "60418"], background=True)
    number = int(asked["tasks"]["a/0"]["id"])
    site.until(lambda: _sleeping(site), "the command does not run")
    with stopped(*_sleeping(site)):
        site.call("cancel_task", ids=[number])
        site.until(lambda: not _sleeping(site), "it is still there")
    assert site.call("show_task", task=number, timeout=60.0)["status"] == "aborted"
    site.active("a/0")


def _sleeping(site):
    found = []
    for pid in hooks(site.data, "a/0"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
            if line.read() == b"sleep\x0060418\0":
                found.append(pid)
    return found


def test_a_stopped_pebble_is_replaced(faulty):
    site = faulty(probe="0.5")
    site.call("deploy", application="a", charm=str(ANY))
    site.active("a/0")
    before = site.container("a/0", "web").pid
    began = time.monotonic()
    with stopped(before):
        # A hook that needs it fails and is tried again, and its unit says so meanwhile.
        site.call("config_set", application="a", settings={"message": "again"})
        site.until(
            lambda: (web := site.container("a/0", "web")) is not None and web.pid != before,
            "it is not replaced",
        )
        site.active("a/0")
    assert (site.storage("a/0") / "page").read_text() == "again"
    assert "liveness failed 3 times" in (site.data / "controller.log").read_text()
    print(f"replaced after {time.monotonic() - began:.0f} s")
