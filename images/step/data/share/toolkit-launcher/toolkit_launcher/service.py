"""The pipelines service as a step without a shared volume speaks to it: HTTP, tried again.

Everything is sent so that it may be sent twice. What fails for a moment (a cut connection, a
service that is being restarted, a full disk) is tried again with growing pauses, as long as
something has moved within `PATIENCE` seconds; everything else is a TransferError at once.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds without any progress after which a transfer is given up."""
_PAUSES = (0.1, 10.0)
_TIMEOUT = 60.0
_CHUNK = 1024 * 1024
_DAMAGED = 422
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 507)
_SHOWN = 500


class TransferError(Exception):
    """The service, or the store that it named, does not give or take what it has to."""


class _Again(Exception):  # noqa: N818 - no error yet: it is tried again
    """It did not work, and may work later."""


class _DamagedError(_Again):
    """What arrived there is not what was sent from here."""


def digests(path: str) -> tuple[int, str, str]:
    """Give a file's size, its SHA-256 in hexadecimal and its MD5 in base64, as stores take it."""
    size, strong, weak = 0, hashlib.sha256(), _md5()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            size += len(chunk)
            strong.update(chunk)
            weak.update(chunk)
    return size, strong.hexdigest(), base64.b64encode(weak.digest()).decode()


class Service:
    """One attempt's view of the service.

    Args:
        url: where steps reach the service, `http://HOST:PORT/steps/v1`.
        token: the attempt's own token.
        patience: see `PATIENCE`.
    """

    def __init__(self, url: str, token: str, patience: float = PATIENCE) -> None:
        self.url = url.rstrip("/") + "/"
        self._token = token
        self._patience = patience

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and give the JSON that comes back."""
        content = None if body is None else json.dumps(body).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}

        def once() -> Any:
            with _Exchange(self.url, path, self._token) as exchange:
                return json.loads(exchange.send(method, content, headers).read())

        return self._persist(f"{method} {path}", once)

    def download(self, entry: dict[str, Any], target: str) -> None:
        """Get a file to a path that does not exist yet; it is whole or not there.

        Args:
            entry: {"url", "size", "sha256" or null}.
            target: where it goes.
        """
        partial = target + ".part"
        strong = hashlib.sha256()
        with open(partial, "wb") as file:

            def once() -> None:
                headers = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
                with _Exchange(self.url, entry["url"], self._token) as exchange:
                    response = exchange.send("GET", None, headers)
                    if headers and response.status != 206:
                        raise TransferError(f"{exchange.shown} does not go on where it was cut")
                    while True:
                        chunk = response.read(_CHUNK)
                        if not chunk:
                            break
                        _write(file, chunk)
                        strong.update(chunk)
                        if file.tell() > entry["size"]:
                            break
                    if file.tell() < entry["size"]:
                        raise _Again(f"{exchange.shown} ended after {file.tell()} bytes")

            if entry["size"]:
                self._persist(entry["path"], once, file.tell)
            size = file.tell()
        if size != entry["size"] or entry["sha256"] not in (None, strong.hexdigest()):
            os.unlink(partial)
            raise TransferError(
                f"{entry['path']} came with {size} bytes and SHA-256 {strong.hexdigest()}; it has "
                f"{entry['size']} bytes and {entry['sha256'] or 'an unknown SHA-256'}"
            )
        os.replace(partial, target)

    def upload(self, place: dict[str, Any], source: str, entry: dict[str, Any]) -> None:
        """Send a file from the disk.

        Args:
            place: where to, {"url", "headers"}.
            source: the file's path.
            entry: what was declared of it, {"path", "size", "sha256"}.
        """
        headers = {**place["headers"], "Content-Length": str(entry["size"])}

        def once() -> None:
            with open(source, "rb") as file:
                try:
                    with _Exchange(self.url, place["url"], self._token) as exchange:
                        exchange.send("PUT", file, headers)
                except _DamagedError as error:
                    if digests(source)[:2] != (entry["size"], entry["sha256"]):
                        raise TransferError(
                            f"{entry['path']} was changed while it was sent"
                        ) from error
                    raise

        self._persist(entry["path"], once)

    def _persist(
        self, what: str, call: Callable[[], T], progress: Callable[[], int] = lambda: 0
    ) -> T:
        pause, before, since = _PAUSES[0], progress(), time.monotonic()
        while True:
            try:
                return call()
            except (_Again, OSError, http.client.HTTPException, ValueError) as error:
                if progress() > before:
                    pause, before, since = _PAUSES[0], progress(), time.monotonic()
                elif time.monotonic() - since > self._patience:
                    raise TransferError(
                        f"{what}: given up after {self._patience:.0f} s: {error!r}"
                    ) from error
                if pause >= 1:
                    sys.stderr.write(f"{what}: {error}; trying again\n")
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(pause * 2, _PAUSES[1])


def _write(file: Any, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        # This side's trouble, a full disk say: no use in asking again.
        raise TransferError(f"cannot be written here: {error}") from error


class _Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(self, base: str, url: str, token: str) -> None:
        where = urlsplit(urljoin(base, url))
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "toolkit-launcher"}
        own = urlsplit(base)
        if (where.scheme, where.netloc) == (own.scheme, own.netloc):
            # Another store's URL is signed, and must not see the token.
            self._headers["Authorization"] = f"Bearer {token}"
        self._target = where.path + (f"?{where.query}" if where.query else "")
        # What a query holds may be a signature.
        self.shown = f"{where.scheme}://{where.netloc}{where.path}"
        self._connection = _connection(where)

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def send(self, method: str, body: Any, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Give the answer if it is a good one.

        Raises:
            TransferError, _Again: it is not.
        """
        try:
            self._connection.request(method, self._target, body, {**self._headers, **headers})
        except (BrokenPipeError, ConnectionResetError):
            # The server may have answered before it had all: then that says why.
            response = self._connection.getresponse()
        else:
            response = self._connection.getresponse()
        if response.status < 300:
            return response
        text = response.read(_SHOWN * 4).decode("utf-8", "replace")
        try:
            text = str(json.loads(text)["message"])
        except (ValueError, KeyError, TypeError):
            text = text[:_SHOWN].strip() or response.reason
        message = f"{method} {self.shown}: {response.status}: {text}"
        if response.status == _DAMAGED:
            raise _DamagedError(message)
        raise (_Again if response.status in _TRANSIENT else TransferError)(message)


def _connection(where: SplitResult) -> http.client.HTTPConnection:
    if where.hostname is None or where.scheme not in ("http", "https"):
        raise TransferError(f"{where.scheme}://{where.netloc} is no address of HTTP")
    if where.scheme == "https":
        return http.client.HTTPSConnection(where.hostname, where.port, timeout=_TIMEOUT)
    return http.client.HTTPConnection(where.hostname, where.port, timeout=_TIMEOUT)


def _md5() -> Any:
    # Not for security: object stores compare it with what they got.
    try:
        return hashlib.md5(usedforsecurity=False)
    except TypeError:  # pragma: no cover - a Python without that argument
        return hashlib.md5()  # noqa: S324
