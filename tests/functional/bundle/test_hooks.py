"""Hooks that fail, hang or die: their unit says so, and the bundle beside it is unharmed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..deployment import Bundle
from ..processes import processes
from ..waiting import wait

CHARM = Path(__file__).parent / "charms" / "mishap"
MODEL = "mishaps"


@pytest.fixture(scope="module")
def mishap(bundle: Bundle) -> Iterator[Bundle]:
    """A charm of mishaps in a model of its own, on the bundle's controller."""
    before = sorted(bundle.inside("toolkit_"))
    bundle.juju("add-model", MODEL, "--no-switch")
    bundle.juju("model-config", "-m", MODEL, "hook-retry-base=200ms", "hook-retry-max=1s")
    bundle.juju("deploy", "-m", MODEL, str(CHARM))
    wait(lambda: current(bundle) == ("active", "well", "idle"), "the charm is active")
    yield bundle
    wait(bundle.active, "all units are active")
    assert sorted(bundle.inside("toolkit_")) == before
    bundle.juju("destroy-model", MODEL, "--no-prompt", "--destroy-storage", "--force")


def current(bundle: Bundle) -> tuple[str, str, str]:
    unit = bundle.status(MODEL)["applications"]["mishap"]["units"]["mishap/0"]
    workload: Any = unit["workload-status"]
    return workload["current"], workload.get("message", ""), unit["juju-status"]["current"]


def hanging() -> list[int]:
    return [pid for pid, line in processes().items() if line == "sleep 600.25 "]


@pytest.fixture(autouse=True)
def well(mishap: Bundle) -> Iterator[None]:
    yield
    mishap.juju("config", "-m", MODEL, "mishap", "mode=well")
    wait(lambda: current(mishap) == ("active", "well", "idle"), "the charm is well again")
    assert hanging() == []


@pytest.mark.parametrize("mode", ["fail", "die"])
def test_a_hook_that_does_not_end_well(mishap: Bundle, mode: str) -> None:
    mishap.juju("config", "-m", MODEL, "mishap", f"mode={mode}")
    # Between two retries, that is: a status is not part of what vanishes with a hook.
    failed = ("error", 'hook failed: "config-changed"')
    wait(lambda: current(mishap)[:2] == failed, "the unit is in error")
    log = mishap.juju("debug-log", "-m", MODEL, "--replay", "--no-tail").stdout
    assert 'hook "config-changed"' in log
    if mode == "fail":
        assert "as told" in log
    # It is tried again, and ends well once it may.


def test_a_hook_that_hangs(mishap: Bundle) -> None:
    mishap.juju("config", "-m", MODEL, "mishap", "mode=hang")
    wait(hanging, "the hook hangs")
    assert current(mishap)[2] == "executing"
    # The rest goes on; and who looks can end it.
    wait(mishap.active, "all units are active")
    assert mishap.juju("run", "-m", "toolkit", "metadata/0", "get-token").returncode == 0
    mishap.juju("config", "-m", MODEL, "mishap", "mode=well")
    mishap.juju("resolved", "-m", MODEL, "mishap/0")


def test_a_hook_that_is_killed_while_it_hangs(mishap: Bundle) -> None:
    mishap.juju("config", "-m", MODEL, "mishap", "mode=hang")
    wait(hanging, "the hook hangs")
    mishap.juju("config", "-m", MODEL, "mishap", "mode=well")
    for pid in hanging():
        os.kill(pid, signal.SIGKILL)


def test_the_controller_killed_while_a_hook_hangs(mishap: Bundle) -> None:
    mishap.juju("config", "-m", MODEL, "mishap", "mode=hang")
    wait(hanging, "the hook hangs")
    os.kill(mishap.controller(), signal.SIGKILL)
    mishap.juju("config", "-m", MODEL, "mishap", "mode=well")
    # What the dead controller ran is ended, and the hook runs again.


def test_a_removal_by_force_while_a_hook_hangs(mishap: Bundle) -> None:
    mishap.juju("deploy", "-m", MODEL, str(CHARM), "stuck", "--config", "mode=hang")
    wait(hanging, "the hook hangs")
    mishap.juju("remove-application", "-m", MODEL, "stuck", "--force", "--no-prompt")
    wait(lambda: "stuck" not in mishap.status(MODEL)["applications"], "it is removed")
    wait(lambda: not hanging(), "its hook has ended")
