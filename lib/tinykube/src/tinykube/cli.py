"""The command `tinykube`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sandbox import lock
from tinykube import nodes
from tinykube.config import ConfigError, Folder

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_RELEASE_SECONDS = 5.0
_READY = b"ready\n"
_LOG_BYTES = 4 * 2**20


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="tinykube",
        description="The Kubernetes API on one machine; its node runs pods as processes.",
        epilog="State is kept in $TINYKUBE_DATA (by default ~/.local/share/tinykube).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, help_: str, run: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.set_defaults(run=run)
        return sub

    command("serve", "run the daemon in the foreground", _serve).add_argument(
        "--ready-fd", type=int, help=argparse.SUPPRESS
    )
    command("start", "start the daemon and wait until it serves", _start)
    command("stop", "end the daemon; pods run on", _stop).add_argument(
        "--pods", action="store_true", help="end every pod's processes as well"
    )
    command("status", "show whether it runs, and where", _status).add_argument(
        "--json", action="store_true", help="as JSON"
    )
    command(
        "kubeconfig", "print the path of the administrator's kubeconfig", _kubeconfig
    ).add_argument("--raw", action="store_true", help="print the file itself (it holds the token)")
    command("backup", "copy the state now, whether the daemon runs or not", _backup).add_argument(
        "file", nargs="?", type=Path, help="where to (default: state.backup.db)"
    )
    command(
        "restore", "put the last good copy of the state in the place of a damaged one", _restore
    ).add_argument("file", nargs="?", type=Path, help="the copy (default: state.backup.db)")
    nodes.add_parser(command)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ConfigError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130


def _fail(message: str) -> int:
    print(f"tinykube: {message}", file=sys.stderr)
    return 1


def _serve(parsed: argparse.Namespace) -> int:
    # Only here: the other commands need none of it and stay quick.
    import asyncio
    import logging

    from tinykube import daemon

    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    async def run() -> None:
        ready = asyncio.Event()
        serving = asyncio.create_task(daemon.serve(Folder.default(), ready=ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            _tell(parsed.ready_fd, _READY)
        waiting.cancel()
        await serving

    try:
        asyncio.run(run())
    except daemon.StartError as error:
        _tell(parsed.ready_fd, str(error).encode("utf-8", "replace"))
        return _fail(str(error))
    return 0


def _tell(descriptor: int | None, text: bytes) -> None:
    if descriptor is not None:
        # Whoever started us may be gone already.
        with contextlib.suppress(OSError):
            os.write(descriptor, text)
            os.close(descriptor)


def _running(folder: Folder) -> int | None:
    """The daemon's pid, None if none runs: only the lock tells, a pid alone may be stale."""
    end = time.monotonic() + _RELEASE_SECONDS
    while True:
        pid = lock.holder(folder.lock)
        if not pid or _lives(pid) or time.monotonic() > end:
            return pid
        # A killed daemon's lock is held for a moment by the process that it was just starting.
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _start(_: argparse.Namespace) -> int:
    folder = Folder.default()
    folder.make()
    pid = _running(folder)
    if pid is not None:
        print(f"tinykube runs already (process {pid}); kubeconfig: {folder.kubeconfig}")
        return 0
    _rotate(folder.log)
    reader, writer = os.pipe()
    opened = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinykube", "serve", "--ready-fd", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=opened,
            pass_fds=(writer,),
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(writer)
        os.close(opened)
    try:
        said = _listen(reader)
    finally:
        os.close(reader)
    if said == _READY:
        print(f"tinykube runs (process {process.pid}); kubeconfig: {folder.kubeconfig}")
        return 0
    if said is None:
        process.kill()
        return _fail(f"it was not ready in {_START_SECONDS:.0f} s and was ended; see {folder.log}")
    process.wait()
    return _fail(said.decode("utf-8", "replace") or f"it ended at once; see {folder.log}")


def _rotate(path: Path) -> None:
    """Keep the log from growing without end: one older one stays."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))


def _listen(reader: int) -> bytes | None:
    """What the daemon says once it is ready or has failed; None if it says nothing in time."""
    end = time.monotonic() + _START_SECONDS
    said = b""
    while said != _READY:
        left = end - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        chunk = os.read(reader, 65_536)
        if not chunk:
            break
        said += chunk
    return said


def _stop(parsed: argparse.Namespace) -> int:
    folder = Folder.default()
    pid = _running(folder)
    if pid:
        if (fault := _end(folder, pid)) is not None:
            return _fail(fault)
        print(f"tinykube (process {pid}) has ended")
    else:
        print("tinykube does not run")
    if parsed.pods:
        # Only here: it brings the sandbox in.
        from tinykube import ending

        try:
            number = ending.end_all(folder.node)
        except TimeoutError as error:
            return _fail(str(error))
        print(f"ended {number} container{'' if number == 1 else 's'}")
        ending.end_proxy(folder.proxy)
    return 0


def _end(folder: Folder, pid: int) -> str | None:
    """End the daemon; what went wrong, or None."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # The pid is the daemon's while the lock is held: asked again with the process in hand.
        if _running(folder) != pid:
            return None
        for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5.0)):
            signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], seconds)[0]:
                return None
        return f"process {pid} cannot be ended"
    except PermissionError:
        return f"process {pid} belongs to another user"
    except ProcessLookupError:
        return None
    finally:
        os.close(process)


def _status(parsed: argparse.Namespace) -> int:
    folder = Folder.default()
    pid = _running(folder)
    server = ""
    with contextlib.suppress(FileNotFoundError):
        for line in folder.kubeconfig.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("server:"):
                server = line.split()[1]
    shown = {
        "running": pid is not None,
        "pid": pid,
        "server": server or None,
        "data": str(folder.root),
        "kubeconfig": str(folder.kubeconfig),
        "log": str(folder.log),
    }
    if parsed.json:
        print(json.dumps(shown))
    elif pid is None:
        print(f"tinykube does not run (data: {folder.root})")
    else:
        print(f"tinykube runs (process {pid}) on {server}")
        print(f"  data        {folder.root}")
        print(f"  kubeconfig  {folder.kubeconfig}")
        print(f"  log         {folder.log}")
    return 0 if pid is not None else 3


def _kubeconfig(parsed: argparse.Namespace) -> int:
    folder = Folder.default()
    if not folder.kubeconfig.exists():
        return _fail(f"there is no {folder.kubeconfig} yet: `tinykube start` writes it")
    if parsed.raw:
        sys.stdout.write(folder.kubeconfig.read_text(encoding="utf-8"))
    else:
        print(folder.kubeconfig)
    return 0


def _backup(parsed: argparse.Namespace) -> int:
    from tinykube import backup

    folder = Folder.default()
    target = parsed.file or folder.backup
    if not folder.database.exists():
        return _fail(f"there is no {folder.database} to copy")
    try:
        backup.write(folder.database, target)
    except backup.BackupError as error:
        return _fail(str(error))
    print(f"copied to {target}")
    return 0


def _restore(parsed: argparse.Namespace) -> int:
    from tinykube import backup
    from tinykube.daemon import StartError, locked

    folder = Folder.default()
    source = parsed.file or folder.backup
    folder.make()
    try:
        with locked(folder):
            kept = backup.restore(folder.database, source)
    except (backup.BackupError, StartError) as error:
        return _fail(str(error))
    print(f"put back {source}, of {backup.age(source)}")
    if kept:
        print(f"what was there is kept as {kept}")
    print("pods that were made since will be ended when tinykube starts")
    return 0
