"""What a probe and a hook do: run a command, ask over HTTP, TCP or gRPC.

The words are a kubelet's, since people search for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from sandbox.container import Container
from sandbox.execution import ExecutionError, execute

_OUTPUT = 10 * 1024
_REDIRECTS = 10
_AGENT = "kube-probe/1.37"
# What a command leaves running may hold its output open.
_DRAIN = 0.1


class Result(Enum):
    """How a probe went."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a probe went, and what was found."""

    result: Result
    message: str = ""

    @property
    def good(self) -> bool:
        """True for a success."""
        return self.result is Result.SUCCESS


_GOOD = Outcome(Result.SUCCESS)


def _bad(message: str) -> Outcome:
    return Outcome(Result.FAILURE, message)


async def probe(
    handler: Mapping[str, Any],
    body: Mapping[str, Any],
    container: Container,
    address: str,
    seconds: float,
) -> Outcome:
    """Look once.

    Args:
        handler: the probe as the pod's spec has it.
        body: its container there, whose ports have names.
        container: the running container.
        address: the pod's address.
        seconds: how long it may take.
    """
    if action := handler.get("exec"):
        return await _command(action.get("command") or (), container, seconds)
    try:
        if action := handler.get("httpGet"):
            return await _http(action, body, address, seconds)
        if action := handler.get("tcpSocket"):
            target = action.get("host") or address, port(action["port"], body)
            return await _tcp(*target, seconds)
        if action := handler.get("grpc"):
            return await _grpc(action, address, seconds)
    except LookupError as error:
        return Outcome(Result.UNKNOWN, str(error))
    raise TypeError(f"a probe without a handler: {handler}")


def port(value: int | str, body: Mapping[str, Any]) -> int:
    """A port by its number or its name in the container. Raises LookupError."""
    if isinstance(value, int):
        return value
    for item in body.get("ports") or ():
        if item.get("name") == value:
            return int(item["containerPort"])
    if value.isdigit():
        return int(value)
    raise LookupError(f"couldn't find a port named {value!r} in the container")


async def run(
    container: Container, command: Sequence[str], limit: int = _OUTPUT
) -> tuple[int, str]:
    """Run a command in a container: its exit code, and its outputs up to `limit` bytes."""
    execution = await execute(container, command, stdout=True, stderr=True)
    kept = bytearray()

    async def read(stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(4096)):
            kept.extend(chunk[: max(limit - len(kept), 0)])

    readers = [asyncio.create_task(read(s)) for s in (execution.stdout, execution.stderr)]
    try:
        code = await execution.wait()
        await asyncio.wait(readers, timeout=_DRAIN)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        await execution.close()
    return code, kept.decode(errors="replace")


async def _command(command: Sequence[str], container: Container, seconds: float) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            code, text = await run(container, command)
    except TimeoutError:
        return _bad(f'command timed out: "{" ".join(command)}" timed out after {seconds:g}s')
    except ExecutionError as error:
        return Outcome(Result.UNKNOWN, str(error))
    return _bad(text) if code else Outcome(Result.SUCCESS, text)


async def _tcp(host: str, number: int, seconds: float) -> Outcome:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, number)
    except TimeoutError:
        return _bad(f"dial tcp {host}:{number}: i/o timeout")
    except OSError as error:
        return _bad(f"dial tcp {host}:{number}: connect: {_words(error)}")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return _GOOD


def url(action: Mapping[str, Any], body: Mapping[str, Any], address: str) -> str:
    """The address of an `httpGet`. Raises LookupError for a port that has no such name."""
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    host = action.get("host") or address
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    slash = "" if path.startswith("/") else "/"
    return f"{scheme}://{host}:{port(action['port'], body)}{slash}{path}"


async def _http(
    action: Mapping[str, Any], body: Mapping[str, Any], address: str, seconds: float
) -> Outcome:
    place = url(action, body, address)
    code = await fetch(place, action.get("httpHeaders") or (), seconds)
    if isinstance(code, str):
        return _bad(code)
    return _GOOD if 200 <= code < 400 else _bad(f"HTTP probe failed with statuscode: {code}")


async def fetch(place: str, headers: Sequence[Mapping[str, str]], seconds: float) -> int | str:
    """GET an address: the status of the answer, or why there is none.

    Redirects within the same host are followed; one that leads away is the answer itself.
    Certificates are not checked, as a kubelet has it.
    """
    # A node whose pods have no such probes does without it.
    import httpx2

    asked = [(item["name"], item["value"]) for item in headers]
    names = {name.lower() for name, _ in asked}
    asked += [
        (n, v) for n, v in (("User-Agent", _AGENT), ("Accept", "*/*")) if n.lower() not in names
    ]
    host = urlsplit(place).hostname
    try:
        async with asyncio.timeout(seconds):
            async with httpx2.AsyncClient(
                verify=False, trust_env=False, timeout=seconds
            ) as client:
                for _ in range(_REDIRECTS):
                    async with client.stream("GET", place, headers=asked) as answer:
                        onward = answer.next_request
                    if onward is None or onward.url.host != host:
                        return answer.status_code
                    place = str(onward.url)
                return f'Get "{place}": stopped after {_REDIRECTS} redirects'
    except (TimeoutError, httpx2.TimeoutException):
        return (
            f'Get "{place}": context deadline exceeded (Client.Timeout exceeded while awaiting'
            " headers)"
        )
    except httpx2.ConnectError as error:
        parts = urlsplit(place)
        return f'Get "{place}": dial tcp {parts.hostname}:{parts.port}: connect: {_words(error)}'
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return f'Get "{place}": {error or type(error).__name__}'


def _words(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    return "connection refused" if "Connect call failed" in text or "refused" in text else text


async def _grpc(action: Mapping[str, Any], address: str, seconds: float) -> Outcome:
    """Ask `grpc.health.v1.Health/Check`: one message each way over plain HTTP/2."""
    import httpx2

    place = f"http://{address}:{action['port']}/grpc.health.v1.Health/Check"
    name = str(action.get("service") or "").encode()
    question = b"\x0a" + _varint(len(name)) + name if name else b""
    try:
        async with asyncio.timeout(seconds):
            async with httpx2.AsyncClient(
                http1=False,
                http2=True,
                trust_env=False,
                timeout=seconds,
                # Plain HTTP: left to itself it would load every certificate of the system.
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            ) as client:
                answer = await client.post(
                    place,
                    content=b"\0" + struct.pack(">I", len(question)) + question,
                    headers={
                        "content-type": "application/grpc",
                        "te": "trailers",
                        "user-agent": _AGENT,
                    },
                )
    except (TimeoutError, httpx2.TimeoutException):
        return _bad(
            f'timeout: failed to connect service "{address}:{action["port"]}" within {seconds:g}s:'
            " context deadline exceeded"
        )
    except httpx2.HTTPError as error:
        return _bad(
            f'error: failed to connect service "{address}:{action["port"]}": {_words(error)}'
        )
    status = _serving(answer.content)
    if status == 1:
        return _GOOD
    if status is None:
        code = answer.headers.get("grpc-status", "unknown")
        return _bad(f"error: health rpc failed: grpc-status {code}")
    words = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}.get(status, str(status))
    return _bad(f'service unhealthy (responded with "{words}")')


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _serving(content: bytes) -> int | None:
    """The `status` (field 1) of a HealthCheckResponse; None where there is no message."""
    if len(content) < 5 or content[0] != 0:
        return None
    message = content[5 : 5 + int.from_bytes(content[1:5], "big")]
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


class HookError(Exception):
    """A hook did not succeed."""


async def hook(
    handler: Mapping[str, Any],
    body: Mapping[str, Any],
    container: Container,
    address: str,
    pause: Any,
) -> None:
    """Run a life cycle hook to its end. Raises HookError.

    Args:
        handler: as the pod's spec has it.
        body: its container there.
        container: the running container.
        address: the pod's address.
        pause: waits so many seconds.
    """
    if action := handler.get("exec"):
        try:
            code, text = await run(container, action.get("command") or ())
        except ExecutionError as error:
            raise HookError(str(error)) from error
        if code:
            raise HookError(f"exit code {code}: {text.strip()}")
    elif action := handler.get("httpGet"):
        try:
            place = url(action, body, address)
        except LookupError as error:
            raise HookError(str(error)) from error
        found = await fetch(place, action.get("httpHeaders") or (), 60)
        if isinstance(found, str):
            raise HookError(found)
    elif action := handler.get("sleep"):
        await pause(float(action["seconds"]))
