"""Both servers, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..cluster.tiny import Tinykube
from .runner import Runner
from .setting import prepared


@pytest.fixture(scope="session")
def runner(plane, tmp_path_factory) -> Iterator[Runner]:
    """What asks the real control plane and a tinykube of its own."""
    folder = tmp_path_factory.mktemp("tinykube-differential")
    folder.chmod(0o700)
    with Tinykube(folder) as tiny, prepared(plane.kubeconfig, tiny.kubeconfig) as made:
        yield made
