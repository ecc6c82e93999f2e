"""A real control plane for all tests here, and what joins it when a test asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import programs
from .cluster.plane import ControlPlane


@pytest.fixture(scope="session")
def program(request):
    """Give a program by name, building it if need be; what is built is told at once."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def give(name):
        with capture.global_and_fixture_disabled():
            return programs.ensure(name, progress=lambda line: print(f"\n{line}", flush=True))

    return give


@pytest.fixture(scope="session")
def plane(program, tmp_path_factory) -> Iterator[ControlPlane]:
    """The control plane, with nothing but the administrator and no nodes."""
    with ControlPlane(program("controlplane"), tmp_path_factory.mktemp("plane")) as made:
        yield made
