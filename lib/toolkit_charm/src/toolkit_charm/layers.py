"""The Pebble layer of a server: one service, and the checks that tell how it is."""

from __future__ import annotations

from collections.abc import Mapping

import ops


def server(
    name: str,
    *,
    summary: str,
    command: str,
    alive: str,
    ready: str,
    watched: Mapping[str, str] | None = None,
) -> ops.pebble.LayerDict:
    """Give the layer of a server that answers HTTP.

    Args:
        name: of the layer and of its only service.
        summary: what it is, for people.
        command: its command line.
        alive: the URL that answers 200 as long as the server is not to be restarted.
        ready: the URL that answers 200 while it can serve.
        watched: further URLs by the names of their checks, which stand for nothing but that the
            charm has an event when the answer changes from 200 to another, or back.
    """
    check: ops.pebble.CheckDict = {"override": "replace", "startup": "enabled"}
    return {
        "summary": name,
        "services": {
            name: {
                "override": "replace",
                "summary": summary,
                "command": command,
                "startup": "enabled",
                "kill-delay": "15s",
                "on-check-failure": {"alive": "restart"},
            }
        },
        "checks": {
            # A server that hangs for two minutes is restarted: not sooner, since a start takes
            # that long on a busy machine, and one that is cut off begins anew every time.
            "alive": {
                **check,
                "level": "alive",
                "period": "10s",
                "timeout": "5s",
                "threshold": 12,
                "http": {"url": alive},
            },
            # Two failures take 10 s, less than a charm waits for an answer (`charm.PATIENCE`).
            "ready": {
                **check,
                "level": "ready",
                "period": "5s",
                "timeout": "4s",
                "threshold": 2,
                "http": {"url": ready},
            },
            **{
                other: {
                    **check,
                    "period": "5s",
                    "timeout": "4s",
                    "threshold": 1,
                    "http": {"url": url},
                }
                for other, url in (watched or {}).items()
            },
        },
    }
