"""The controller's process: `python -m minijuju.serve FOLDER`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sqlite3
import sys
from pathlib import Path

from minijuju import facade, rpc
from minijuju.controller import AlreadyRunningError, Controller
from minijuju.errors import JujuError
from minijuju.rpc_names import ALREADY_RUNNING

logger = logging.getLogger("minijuju")


async def serve(data: Path) -> None:
    """Be the controller of `data` until told to end.

    SIGTERM and SIGINT let the pods run on; the method `shutdown` stops them.
    """
    if sys.version_info < (3, 12):
        # As later versions do by themselves: no thread for each process that is waited for.
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)
    controller = Controller(data)
    done = controller.over
    api = facade.Facade(controller, done)
    server = rpc.Server(data, api.methods())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    try:
        await controller.start()
        await server.start()
        # What is there now stays: keep it out of every collection, and out of copy on write.
        gc.collect()
        gc.freeze()
        await done.wait()
    finally:
        await server.close()
        await controller.close(stop_pods=api.stop_pods)


def main() -> int:
    """Run; 3 if another controller has the folder."""
    # What it keeps is its user's alone; containers have an umask of their own.
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("httpx2", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        asyncio.run(serve(Path(sys.argv[1])))
    except AlreadyRunningError as error:
        logger.error("%s", error)
        return ALREADY_RUNNING
    except (JujuError, OSError, sqlite3.OperationalError) as error:
        logger.error("the controller cannot work on %s: %s", sys.argv[1], error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
