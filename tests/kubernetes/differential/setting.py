"""Both servers with what the sequences need in place."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from .runner import Runner
from .servers import Server
from .widgets import WIDGETS

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SECONDS = 30


@contextlib.contextmanager
def prepared(real: Path, tiny: Path) -> Iterator[Runner]:
    """A runner for the two kubeconfigs; custom resources are defined on both."""
    servers = Server("real", real), Server("tinykube", tiny)
    try:
        for server in servers:
            _define(server)
        yield Runner(*servers)
    finally:
        for server in servers:
            server.close()


def _define(server: Server) -> None:
    made = server.ask("POST", _DEFINITIONS, body=WIDGETS)
    if made.code == 404:
        return
    if made.code not in (201, 409):
        raise RuntimeError(f"{server.name} takes no definition: {made.body}")
    end = time.monotonic() + _SECONDS
    path = "/apis/test.example.com/v1/namespaces/default/widgets"
    # A storage that is being made answers 404 first, then 429 to watches.
    while (found := server.ask("GET", path)).code != 200:
        if time.monotonic() > end:
            raise RuntimeError(f"{server.name} serves no widgets after {_SECONDS} s: {found.body}")
        time.sleep(0.1)
