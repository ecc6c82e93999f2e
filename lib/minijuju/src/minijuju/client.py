"""The other end of the controller's socket, for programs that call and wait."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from minijuju import text
from minijuju.errors import ERRORS, JujuError, TimedOutError
from minijuju.rpc_names import GREETING_TIMEOUT, LOCK, LOG, reach
from sandbox import lock

SHUTDOWN_TIMEOUT = 60.0


def data_folder() -> Path:
    """The data folder: `$MINIJUJU_DATA`, else the user's own place for data."""
    if chosen := os.environ.get("MINIJUJU_DATA"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(base) / "minijuju"


def _await_end(pid: int) -> None:
    """Wait until a controller that was told to end, and with it its pods, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([handle], [], [], SHUTDOWN_TIMEOUT)[0]:
            raise TimedOutError(
                f"the controller (process {pid}) did not end in {SHUTDOWN_TIMEOUT:.0f} s"
            )
    finally:
        os.close(handle)


class Client:
    """Calls the controller of a data folder, and starts it if it does not run.

    Args:
        data: the folder; by default `data_folder()`.
        start: whether to start a controller that does not run.
    """

    def __init__(self, data: Path | None = None, *, start: bool = True) -> None:
        self.data = data or data_folder()
        self._start = start

    def call(
        self, method: str, *, on_progress: Callable[[str], None] | None = None, **params: Any
    ) -> Any:
        """Call a method and wait for its result.

        Raises:
            JujuError: what the controller said, as the class for its code.
        """
        for kind, value in self._messages(method, params):
            if kind == "progress" and on_progress is not None:
                on_progress(str(value))
            elif kind == "result":
                if method == "shutdown":
                    _await_end(value["pid"])
                return value
        raise JujuError("the controller went away before it answered")

    def stream(
        self, method: str, *, on_progress: Callable[[str], None] | None = None, **params: Any
    ) -> Iterator[Any]:
        """Call a method and yield its items as they come.

        Raises:
            JujuError: what the controller said, as the class for its code.
        """
        for kind, value in self._messages(method, params):
            if kind == "item":
                yield value
            elif kind == "progress" and on_progress is not None:
                on_progress(str(value))

    def running(self) -> bool:
        """Whether a controller answers; within a while."""
        try:
            reach(self.data).close()
        except OSError:
            return False
        return True

    def _connect(self) -> socket.socket:
        try:
            return reach(self.data)
        except (FileNotFoundError, ConnectionError):
            if not self._start:
                raise JujuError(f"no controller runs on {self.data}") from None
        except TimeoutError:
            raise self._hangs() from None
        # Most find a controller that runs.
        from minijuju import daemon

        return daemon.start(self.data)

    def _hangs(self) -> TimedOutError:
        pid: int | str = "?"
        with contextlib.suppress(OSError):
            pid = lock.holder(self.data / LOCK) or "?"
        return TimedOutError(
            f"the controller (process {pid}) does not answer for {GREETING_TIMEOUT:.0f} s: it is"
            f" stopped or busy; see {self.data / LOG}, or end it: kill -9 {pid}"
        )

    def _lines(self, connection: socket.socket) -> Iterator[bytes]:
        """What the controller says, line by line; it may take its time as long as it lives.

        Raises:
            TimedOutError: it does not even greet any more.
        """
        said = b""
        while True:
            if not select.select([connection], [], [], GREETING_TIMEOUT)[0]:
                try:
                    reach(self.data).close()
                except TimeoutError:
                    raise self._hangs() from None
                except OSError:
                    # It ends; what there is to say of it comes from this connection.
                    pass
                continue
            part = connection.recv(1 << 16)
            if not part:
                return
            *lines, said = (said + part).split(b"\n")
            yield from lines

    def _messages(
        self, method: str, params: dict[str, Any]
    ) -> Generator[tuple[str, Any], None, None]:
        asked = json.dumps({"method": method, "params": params}, ensure_ascii=False)
        request = text.valid(asked).encode() + b"\n"
        with self._connect() as connection:
            try:
                connection.sendall(request)
                for line in self._lines(connection):
                    kind, value = next(iter(json.loads(line).items()))
                    if kind == "error":
                        raise ERRORS.get(value["code"], JujuError)(value["message"])
                    yield kind, value
                    if kind == "result":
                        return
            except ConnectionError as error:
                raise JujuError(f"the controller went away ({error}); ask again") from error
        raise JujuError("the controller went away before it answered; ask again")
