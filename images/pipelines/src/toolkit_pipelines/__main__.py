"""`python -m toolkit_pipelines --config FILE`: the pipelines service."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from toolkit_database import LoginError
from toolkit_identity import HostPatternError, TokenFileError
from toolkit_jobs import Connection, ConnectionFileError
from toolkit_objects import CredentialsError

from . import app, memory
from .restoration import Restoration, RestoreError
from .settings import Settings, SettingsError, load
from .store.interface import StoreError
from .webhook import WebhookError

QUIET = ("alembic", "botocore", "urllib3")
"""Loggers that tell only of trouble: the first two else tell their inner life, signatures too; the
last names every request, with what is secret in its address."""

_TURN = 0.0005
"""Seconds that one thread may work at a stretch while another waits."""


def main(arguments: list[str]) -> int:
    """Serve until told to stop; 2 means that the settings or the state cannot be used."""
    parser = argparse.ArgumentParser(prog="toolkit_pipelines", description=__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/toolkit-pipelines/settings.yaml"),
        metavar="FILE",
        help="the settings (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    os.umask(0o077)
    memory.give_back()
    try:
        settings = load(options.config)
        _log(settings)
        for folder in (settings.state, settings.pipeline_root, settings.environments):
            folder.mkdir(parents=True, exist_ok=True)
        with app.locked(settings.state):
            Restoration(settings.state / app.DATABASE, app.root_of(settings)).recover()
            _serve(settings)
    except (
        SettingsError,
        CredentialsError,
        TokenFileError,
        HostPatternError,
        StoreError,
        LoginError,
        ConnectionFileError,
        app.InUseError,
        RestoreError,
        WebhookError,
        OSError,
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _serve(settings: Settings) -> None:
    # What is recorded in a thread would wait for the loop at each statement, each time as long as
    # that may work at a stretch: 5 ms.
    sys.setswitchinterval(_TURN)
    try:
        asyncio.run(app.serve(settings, _connection(settings)))
    except (StoreError, LoginError) as error:
        (settings.state / app.PROBLEM).write_text(f"{error}\n", encoding="utf-8")
        raise


def _connection(settings: Settings) -> Connection:
    if settings.kubeconfig is not None:
        return Connection.from_kubeconfig(settings.kubeconfig)
    return Connection.from_environment()


def _log(settings: Settings) -> None:
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s %(message)s")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel("WARNING")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
