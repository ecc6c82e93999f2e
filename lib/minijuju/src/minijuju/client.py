"""The controller's protocol from the caller's side: one JSON object a line over a unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minijuju import sockets
from minijuju.errors import ERRORS, JujuError

RpcError = JujuError
"""What a call raises: one of `minijuju.errors`, by the code in the reply."""


def data_folder() -> Path:
    """`MINIJUJU_DATA`, or `minijuju` in the user's data folder."""
    named = os.environ.get("MINIJUJU_DATA")
    if named:
        return Path(named).absolute()
    share = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(share) / "minijuju"


class Client:
    """Calls the controller of a data folder; starts it first if it does not run."""

    def __init__(self, data: Path | None = None, *, start: bool = True) -> None:
        self.data = data if data is not None else data_folder()
        self._start = start

    def running(self) -> bool:
        """Whether a controller answers."""
        try:
            sockets.connect(self.data / "controller.socket").close()
        except OSError:
            return False
        return True

    def call(
        self,
        method: str,
        *,
        on_progress: Callable[[str], None] = lambda text: None,
        **params: Any,
    ) -> Any:
        """Call a method and return its result.

        Args:
            method: The method's name.
            on_progress: Told what the controller reports meanwhile.
            params: The method's parameters, by name.

        Raises:
            JujuError: The controller refuses, fails or goes away.
        """
        result = None
        for kind, value in self._replies(method, params):
            if kind == "progress":
                on_progress(str(value))
            elif kind == "result":
                result = value
        return result

    def stream(self, method: str, **params: Any) -> Iterator[Any]:
        """Call a method and yield its items as they come.

        Raises:
            JujuError: As `call`.
        """
        with contextlib.closing(self._replies(method, params)) as replies:
            for kind, value in replies:
                if kind == "item":
                    yield value

    def _replies(self, method: str, params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        with self._connect() as connection, connection.makefile("rb") as lines:
            request = json.dumps({"method": method, "params": params}) + "\n"
            connection.sendall(request.encode())
            for line in lines:
                reply = json.loads(line)
                if "error" in reply:
                    error = reply["error"]
                    raise ERRORS.get(error["code"], JujuError)(error["message"])
                for kind in ("progress", "item", "result"):
                    if kind in reply:
                        yield kind, reply[kind]
                        if kind == "result":
                            return
        raise JujuError(f"the controller went away during {method}; see {self.data}")

    def _connect(self) -> socket.socket:
        path = self.data / "controller.socket"
        try:
            return sockets.connect(path)
        except OSError:
            if not self._start:
                raise JujuError(f"no controller answers at {path}") from None
        from minijuju import daemon  # only a first call needs it

        daemon.ensure(self.data)
        return sockets.connect(path)
