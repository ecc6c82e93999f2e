"""The hook commands as the charm sees them: one small program that speaks to the controller.

A charm makes a handful of calls in every hook, so a call must be cheap: the program is compiled
(`hook_module/`), once a machine. It answers to every name in `NAMES` by symbolic links.

The wire format, both ways, is a number of fields and then each field, where numbers and the
lengths of fields are 4 bytes, big-endian. Request: context id, standard input, then the argument
list beginning with the command's name. Reply: exit code in decimal, standard output, standard
error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from minijuju import golang
from sandbox.images import store_root

MODULE = Path(__file__).parents[1] / "hook_module"
HOOKS_FOLDER = "/var/lib/juju/hooks"
"""Where a unit's folder with the socket is mounted in the charm container."""

TOOLS_FOLDER = "/var/lib/juju/tools"
"""Where the commands are mounted in the charm container, below the unit's tag."""

SOCKET_NAME = "socket"
_PROGRAM = "hook-command"
MAX_FIELD = 8 * 1024 * 1024
MAX_FIELDS = 4096

NAMES = (
    "action-fail",
    "action-get",
    "action-log",
    "action-set",
    "application-version-set",
    "close-port",
    "config-get",
    "credential-get",
    "goal-state",
    "is-leader",
    "juju-log",
    "juju-reboot",
    "network-get",
    "open-port",
    "opened-ports",
    "relation-get",
    "relation-ids",
    "relation-list",
    "relation-model-get",
    "relation-set",
    "resource-get",
    "secret-add",
    "secret-get",
    "secret-grant",
    "secret-ids",
    "secret-info-get",
    "secret-remove",
    "secret-revoke",
    "secret-set",
    "state-delete",
    "state-get",
    "state-set",
    "status-get",
    "status-set",
    "storage-add",
    "storage-get",
    "storage-list",
    "unit-get",
)


def find(store: Path | None = None) -> Path | None:
    """The folder with a command for every name; None if it was not made yet."""
    target = _target(store or store_root())
    return target if target.is_dir() else None


def ensure(
    store: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda message: None,
    fetched: Path | None = None,
) -> Path:
    """The folder with a command for every name, made if need be. Blocking.

    Args:
        store: where built things are kept.
        progress: is told what goes on.
        fetched: where a Go goes that has to be fetched (see `golang.build`).

    Raises:
        GoError: there is no Go to be had, or the build failed.
    """
    store = store or store_root()
    if found := find(store):
        return found
    target = _target(store)
    with golang.workshop(target.parent, "hook-commands") as scratch:
        if target.is_dir():
            return target
        folder = scratch / "commands"
        folder.mkdir()
        golang.build(
            MODULE,
            ".",
            folder / _PROGRAM,
            scratch=scratch,
            fetched=fetched,
            caches=scratch,
            progress=progress,
        )
        for name in NAMES:
            (folder / name).symlink_to(_PROGRAM)
        folder.rename(target)
    return target


def _target(store: Path) -> Path:
    sources = [(MODULE / name).read_text() for name in ("go.mod", "main.go")]
    digest = hashlib.sha256(json.dumps([sources, NAMES]).encode()).hexdigest()[:12]
    return store / "tools" / f"hook-commands-{digest}"
