"""Environments that take more than they may: one that a step is in stays, the others go."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ..waiting import wait
from .stack import Gate, Service
from .test_steps import submit

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(
    base_image=IMAGE, packages_to_install=["pygments==2.19.1"], install_kfp_package=False
)
def hold(gate: int) -> str:
    import os
    import socket
    import time

    import pygments

    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", gate)) == 0:
                break
            time.sleep(0.1)
    return str(len(os.listdir(os.path.join(os.path.dirname(pygments.__file__), "lexers"))))


@dsl.component(
    base_image=IMAGE, packages_to_install=["humanize==4.11.0"], install_kfp_package=False
)
def second():
    import humanize  # noqa: F401


@dsl.component(base_image=IMAGE, packages_to_install=["six==1.17.0"], install_kfp_package=False)
def third():
    import six  # noqa: F401


@dsl.pipeline(name="holding")
def holding(gate: int) -> str:
    return hold(gate=gate).output


@dsl.pipeline(name="seconds")
def seconds():
    second()


@dsl.pipeline(name="thirds")
def thirds():
    third()


@pytest.fixture
def bounded(serve: Callable[..., Service]) -> Service:
    """A service whose environments may take a mebibyte."""
    return serve("bounded", environments_limit="1Mi")


def ran(service: Service, run_id: str) -> None:
    run = service.client().wait_for_run_completion(run_id, timeout=120, sleep_duration=1)
    assert run.state == "SUCCEEDED", service.evidence(run_id)


def test_what_a_step_is_in_stays_and_the_others_go(bounded: Service, gate: Gate) -> None:
    folder = Path(bounded.settings["environments"]) / "bounded"

    def packages() -> set[str]:
        return {
            name
            for path in folder.glob("[!.]*/site/*")
            if (name := path.name.removesuffix(".py")) in ("pygments", "humanize", "six")
        }

    def alone() -> bool:
        return packages() == {"pygments"} and not (folder / ".cache").exists()

    held = submit(bounded, holding, gate=gate.port)
    begun = f"holding/{held}/*/*/.started"
    wait(lambda: bool(list(bounded.root.glob(begun))), "the step is in its environment")
    # What the engine knew is told it by the pod.
    bounded.kill()
    bounded.start()
    ran(bounded, submit(bounded, seconds))
    wait(lambda: bounded.log.read_text().count("in use, or kept") > 0, "the bound was looked at")
    assert "pygments" in packages()
    gate.open()
    ran(bounded, held)
    (result,) = bounded.root.glob(f"holding/{held}/*/*/result.json")
    assert int(json.loads(result.read_text())["parameters"]["Output"]) > 100
    wait(lambda: not bounded.cluster.pods(), "the steps' pods are gone")
    ran(bounded, submit(bounded, thirds))
    # These two are small enough.
    wait(lambda: packages() == {"humanize", "six"}, "what was used longest ago is gone")
    # What is asked for again is installed again, and takes the place of all there was.
    ran(bounded, submit(bounded, holding, gate=gate.port))
    wait(alone, "the others and the downloads are gone")
