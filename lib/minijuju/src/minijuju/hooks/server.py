"""The unit's end of the hook commands: a unix socket that answers for the context at hand."""

from __future__ import annotations

import asyncio
import hmac
import logging
from pathlib import Path

from minijuju import text
from minijuju.hooks import commands, tools
from minijuju.hooks.context import Context
from minijuju.socket_server import Server as SocketServer

logger = logging.getLogger(__name__)

# Of these the arguments hold contents, which may be any bytes.
RAW = ("secret-add", "secret-set")


AT_ONCE = 8
"""Commands of a unit that are answered at a time: each may bring `tools.MAX_FIELD` bytes, and a
charm that makes thousands of connections must take neither memory nor descriptors from others."""


class HookServer:
    """Answers the hook commands of one unit; `context` is who may ask now, if anyone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context: Context | None = None
        self._server = SocketServer(folder / tools.SOCKET_NAME, self._serve, most=AT_ONCE)

    async def start(self) -> None:
        """Make the folder and listen."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server.start()

    async def stop(self) -> None:
        """Stop listening; the commands under way are cut off."""
        self.context = None
        await self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            token, stdin, *argv = await self._request(reader)
            code, output, error = self._answer(token, argv, stdin)
            fields = [
                str(code).encode(),
                text.to_bytes(output),
                text.to_bytes(error),
            ]
            writer.write(len(fields).to_bytes(4, "big"))
            for field in fields:
                writer.write(len(field).to_bytes(4, "big") + field)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as problem:
            logger.warning("a hook command's connection was cut: %s", problem)

    async def _request(self, reader: asyncio.StreamReader) -> list[bytes]:
        count = int.from_bytes(await reader.readexactly(4), "big")
        if not 3 <= count <= tools.MAX_FIELDS:
            raise ValueError(f"{count} fields")
        fields, total = [], 0
        for _ in range(count):
            size = int.from_bytes(await reader.readexactly(4), "big")
            total += size
            if total > tools.MAX_FIELD:
                raise ValueError(f"more than {tools.MAX_FIELD} bytes")
            fields.append(await reader.readexactly(size))
        return fields

    def _answer(self, token: bytes, argv: list[bytes], stdin: bytes) -> tuple[int, str, str]:
        context = self.context
        if context is None or not hmac.compare_digest(context.id.encode(), token):
            return 1, "", "ERROR this hook is over\n"
        words = [text.from_bytes(word) for word in argv]
        if words[0] not in RAW:
            words = [text.valid(word) for word in words]
        try:
            return commands.run(context, words, text.from_bytes(stdin))
        except Exception as error:
            # A defect of ours must fail this command, not the unit's whole server.
            logger.exception("hook command %s failed", words[0])
            return 1, "", f"ERROR {words[0]}: internal error: {error}\n"
