"""HTTP that this service asks others by: aiohttp without what nobody asked for.

No proxy of the environment, no cookie, no redirect, nothing unpacked.
"""

from __future__ import annotations

import io
from typing import Any, Final

import aiohttp

FAILURES: Final = (aiohttp.ClientError, OSError, ValueError)
"""What a request or the reading of its answer may end with: the network's failures, time-outs, an
answer that is none, an address or a header that cannot be sent.

What they say may show the whole address, and their repr the headers as well: see `why`.
"""
_PIECE: Final = 64 * 1024


class Session:
    """A session that is made at its first use, since it wants to be where a loop runs.

    Args:
        timeout: what bounds a request if nothing else is said.
        connector: options of `aiohttp.TCPConnector`.
    """

    def __init__(self, timeout: aiohttp.ClientTimeout, **connector: Any) -> None:
        self._timeout = timeout
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    def get(self) -> aiohttp.ClientSession:
        """Give the session. Requests through it say `allow_redirects=False`."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(**self._connector),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_PIECE,
            )
        return self._session

    async def close(self) -> None:
        """End all connections, with what is under way; what comes then has new ones."""
        if self._session is not None:
            await self._session.close()


def body(content: bytes) -> bytes | io.BytesIO:
    """Give what is to be sent as the library sends it without holding up the loop."""
    return content if len(content) <= _PIECE else io.BytesIO(content)


def why(error: BaseException) -> str:
    """Say what failed, without what may be secret: of an address host and port alone."""
    known = isinstance(error, aiohttp.ClientConnectorError)
    return str(error) if known else type(error).__name__
