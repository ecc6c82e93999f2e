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
import math
import os
import random
import re
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, quote, urljoin, urlsplit

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds without any progress after which a transfer is given up."""
_PAUSES = (0.1, 10.0)
_TIMEOUT = 60.0
_CHUNK = 1024 * 1024
_BLOCK = 256 * 1024
_DOWNLOADS = 3
_MAX_PARTS = 10_000
_DAMAGED = 422
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 507)
# What S3 calls such things.
_DAMAGES = ("BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch")
_TRANSIENT_CODES = ("InternalError", "OperationAborted", "RequestTimeout", "SlowDown")
_STALE = ("AccessDenied", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed")
_XML = re.compile(r"<(Code|Message)>([^<]*)</")
_SHOWN = 500
_CHANGED = "it was changed while it was sent"


class TransferError(Exception):
    """The service, or the store that it named, does not give or take what it has to."""


class _Again(Exception):  # noqa: N818 - no error yet: it is tried again
    """It did not work, and may work later."""


class _DamagedError(_Again):
    """What arrived there is not what was sent from here."""


class _StaleError(TransferError):
    """A store does not accept a link: it has ended, or will never do."""


class Digests(NamedTuple):
    """What a file is known by: its SHA-256 in hexadecimal, its MD5 in base64, as stores take it.

    A file that goes in parts has the MD5 of each in `parts`, and none of its own.
    """

    size: int
    sha256: str
    md5: str
    parts: list[str]


def digests(path: str, part_size: int = 0) -> Digests:
    """Read a file for its digests.

    Args:
        path: the file.
        part_size: larger files go in parts of this size, or of a multiple of it if these would
            be too many; 0 if all go in one piece.
    """
    expected = os.stat(path).st_size
    length = 0
    if part_size and expected > part_size:
        length = part_size * math.ceil(expected / (part_size * _MAX_PARTS))
    size, strong, weak, parts = 0, hashlib.sha256(), _md5(), []
    with open(path, "rb") as file:
        while True:
            left = length - size % length if length else _CHUNK
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                break
            size += len(chunk)
            strong.update(chunk)
            weak.update(chunk)
            if length and size % length == 0:
                parts.append(_text(weak))
                weak = _md5()
    if length and size % length:
        parts.append(_text(weak))
    return Digests(size, strong.hexdigest(), "" if length else _text(weak), parts)


def _text(digest: Any) -> str:
    return base64.b64encode(digest.digest()).decode()


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
        self._trusted: ssl.SSLContext | None = None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and give the JSON that comes back."""
        content = None if body is None else json.dumps(body).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}

        def once() -> Any:
            with self._exchange(path) as exchange:
                return json.loads(exchange.send(method, content, headers).read())

        return self._persist(f"{method} {path}", once)

    def trust(self, certificates: str) -> None:
        """Trust these authorities (PEM) in stores, besides the image's own."""
        self._trusted = ssl.create_default_context()
        self._trusted.load_verify_locations(cadata=certificates)

    def _exchange(self, url: str) -> _Exchange:
        return _Exchange(self.url, url, self._token, self._trusted)

    def download(self, entry: dict[str, Any], target: str) -> None:
        """Get a file to a path that does not exist yet; it is whole or not there.

        Args:
            entry: {"path", "url", "size", "sha256" or null}.
            target: where it goes.
        """
        for left in reversed(range(_DOWNLOADS)):
            damage = self._download(entry, target)
            if not damage:
                return
            if not left:
                raise TransferError(damage)
            sys.stderr.write(f"{damage}; getting it again\n")

    def _download(self, entry: dict[str, Any], target: str) -> str:
        """Get a file; give what is wrong with what came, or ""."""
        partial = target + ".part"
        strong = hashlib.sha256()
        renewed = -1
        with open(partial, "wb") as file:

            def once() -> None:
                nonlocal renewed
                headers = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
                with self._exchange(entry["url"]) as exchange:
                    try:
                        response = exchange.send("GET", None, headers)
                    except _StaleError as error:
                        if renewed == file.tell():
                            raise
                        renewed = file.tell()
                        entry["url"] = self._anew("inputs", entry["path"])["url"]
                        raise _Again(str(error)) from error
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
                try:
                    self._persist(entry["path"], once, file.tell)
                except TransferError as error:
                    raise TransferError(f"{entry['path']}: {error}") from error
            size = file.tell()
        if size != entry["size"] or entry["sha256"] not in (None, strong.hexdigest()):
            os.unlink(partial)
            return (
                f"{entry['path']} came with {size} bytes and SHA-256 {strong.hexdigest()}; it has "
                f"{entry['size']} bytes and {entry['sha256'] or 'an unknown SHA-256'}"
            )
        os.replace(partial, target)
        return ""

    def upload(self, place: dict[str, Any], number: int, source: str, entry: Digests) -> None:
        """Send one piece of a file from the disk.

        Args:
            place: where the file goes: {"path", "url", "headers"}, or {"path", "parts"} with
                {"url", "headers", "start", "size"} for each; brought up to date if a link ended.
            number: which part, from 0; 0 if it goes in one piece.
            source: the file's path.
            entry: what was declared of it.
        """
        renewed = False

        def once() -> None:
            nonlocal renewed
            piece = place["parts"][number] if "parts" in place else place
            size = piece.get("size", entry.size)
            headers = {**piece["headers"], "Content-Length": str(size)}
            with open(source, "rb") as file:
                body = _Piece(file, piece.get("start", 0), size)
                try:
                    with self._exchange(piece["url"]) as exchange:
                        exchange.send("PUT", body, headers)
                except _DamagedError as error:
                    if digests(source)[:2] != entry[:2]:
                        raise TransferError(_CHANGED) from error
                    raise
                except _StaleError as error:
                    if renewed:
                        raise
                    renewed = True
                    place.update(self._anew("outputs", place["path"]))
                    raise _Again(str(error)) from error

        try:
            self._persist(place["path"], once)
        except TransferError as error:
            raise TransferError(f"{place['path']}: {error}") from error

    def _anew(self, what: str, path: str) -> Any:
        """Ask for a file's links again."""
        return self.call("GET", f"{what}?path={quote(path, safe='/')}")

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
                        f"given up after {self._patience:.0f} s: {error!r}"
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


class _Piece:
    """A stretch of a file as the body of a request, whatever becomes of the file meanwhile."""

    def __init__(self, file: Any, start: int, size: int) -> None:
        file.seek(start)
        self._file = file
        self._left = size

    def read(self, size: int) -> bytes:
        """Give the next bytes, at most `size`; none at the end."""
        chunk: bytes = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        if not chunk and self._left:
            raise TransferError(_CHANGED)
        return chunk


class _Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(
        self, base: str, url: str, token: str, trusted: ssl.SSLContext | None = None
    ) -> None:
        where = urlsplit(urljoin(base, url))
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "toolkit-launcher"}
        own = urlsplit(base)
        self._own = (where.scheme, where.netloc) == (own.scheme, own.netloc)
        if self._own:
            # Another store's URL is signed, and must not see the token.
            self._headers["Authorization"] = f"Bearer {token}"
        self._target = where.path + (f"?{where.query}" if where.query else "")
        # What a query holds may be a signature.
        self.shown = f"{where.scheme}://{where.netloc}{where.path}"
        self._connection = _connection(where, None if self._own else trusted)

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
        text = response.read(_SHOWN * 8).decode("utf-8", "replace")
        code, said = _said(text)
        words = ": ".join(each for each in (code, said) if each) or response.reason
        message = f"{method} {self.shown}: {response.status}: {words}"
        if response.status == _DAMAGED or code in _DAMAGES:
            raise _DamagedError(message)
        if response.status in _TRANSIENT or code in _TRANSIENT_CODES:
            raise _Again(message)
        if not self._own and (response.status in (401, 403) or code in _STALE):
            raise _StaleError(message)
        raise TransferError(message)


def _said(text: str) -> tuple[str, str]:
    """Give the code and the message of an error: of this service in JSON, of a store in XML."""
    try:
        return "", str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        pass
    found = dict(_XML.findall(text))
    if "Code" in found:
        return found["Code"][:100], found.get("Message", "")[:_SHOWN]
    return "", text[:_SHOWN].strip()


def _connection(where: SplitResult, trusted: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if where.hostname is None or where.scheme not in ("http", "https"):
        raise TransferError(f"{where.scheme}://{where.netloc} is no address of HTTP")
    if where.scheme == "https":
        return http.client.HTTPSConnection(
            where.hostname, where.port, timeout=_TIMEOUT, blocksize=_BLOCK, context=trusted
        )
    return http.client.HTTPConnection(
        where.hostname, where.port, timeout=_TIMEOUT, blocksize=_BLOCK
    )


def _md5() -> Any:
    # Not for security: object stores compare it with what they got.
    try:
        return hashlib.md5(usedforsecurity=False)
    except TypeError:  # pragma: no cover - a Python without that argument
        return hashlib.md5()  # noqa: S324
