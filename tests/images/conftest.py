"""A builder for all tests here, and each image, built once from its Containerfile."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import httpx2
import pytest

from sandbox import bubblewrap

from . import bases, debian
from .builder import ROOT, SHARED, Builder, ensure

NAMES = sorted(path.parent.name for path in ROOT.glob("images/*/Containerfile"))
PATIENCE = 300.0


@pytest.fixture(scope="session")
def tell(request):
    """Say what takes long while it does, whatever pytest captures."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line):
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)

    return say


@pytest.fixture(scope="session")
def builder(tell, tmp_path_factory):
    """A builder that has stand-ins for the images that the Containerfiles name."""
    if lacking := debian.missing():
        pytest.skip(f"images are built with Debian's packages, and {lacking}")
    checked = bubblewrap.check()
    if not checked.ok:
        pytest.skip(f"{checked.found}. {checked.remedy}")
    made = Builder(ensure(tell), tmp_path_factory.mktemp("builder"))
    try:
        tell("making stand-ins for the images of Python and uv")
        bases.make(made)
        yield made
    finally:
        tell("deleting the images")
        made.remove()


@pytest.fixture(scope="session")
def image(builder, tell):
    """Give the name of an image, built from its Containerfile as it stands."""
    built = set()

    def build(name):
        tag = f"localhost/{name}"
        if name not in built:
            tell(f"building images/{name}/Containerfile")
            builder.build(f"images/{name}/Containerfile", tag)
            built.add(name)
        return tag

    return build


@pytest.fixture
def port():
    """A free port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def shared(builder, request):
    """A folder of the test's own that the builder sees as well, under the same name."""
    folder = builder.shared / re.sub(r"\W+", "-", request.node.name)
    folder.mkdir()
    return folder


@pytest.fixture
def run(builder, image, shared):
    """Run an image to its end, with a program on standard input; its exit code and output."""

    def until_end(name, *arguments, entrypoint=None, program=""):
        given, log = shared / "program", shared / "log"
        given.write_text(program)
        with (
            given.open() as text,
            log.open("w") as output,
            builder.running(
                image(name),
                *arguments,
                entrypoint=entrypoint,
                volumes={"/work": SHARED / shared.name},
                stdin=text,
                stdout=output,
            ) as process,
        ):
            code = process.wait(PATIENCE)
        return code, log.read_text()

    return until_end


@pytest.fixture
def answers():
    """Wait until a started image answers an address with 200, and give the answer."""

    def until(process, url, log):
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx2.TransportError):
                found = httpx2.get(url, trust_env=False, timeout=30)
                if found.status_code == 200:
                    return found
            time.sleep(0.1)
        raise AssertionError(f"no answer from {url} ({process.poll()}):\n{log.read_text()}")

    return until
