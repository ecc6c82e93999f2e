from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.node import logs
from tinykube.node.client import LogOptions, LogsError


async def collect(path: Path, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in logs.read(path, options, lambda: False)])


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 5, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"\n\n\n", 1, b"\n"),
        (b"", 3, b""),
        (b"a", 1, b"a"),
    ],
)
async def test_tail(tmp_path: Path, text: bytes, lines: int, expected: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)

    assert await collect(path, LogOptions(tail_lines=lines)) == expected


@given(
    parts=st.lists(st.sampled_from([b"\n", b"x", b"long line\n"]), max_size=30),
    lines=st.integers(0, 12),
    chunk=st.integers(1, 7),
)
def test_tail_is_the_last_lines_whatever_is_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], lines: int, chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "tail.log"
    text = b"".join(parts)
    path.write_bytes(text)

    with pytest.MonkeyPatch.context() as patch, path.open("rb") as stream:
        patch.setattr(logs, "_CHUNK", chunk)
        found = text[logs._tail(stream.fileno(), lines) :]

    expected = text.splitlines(keepends=True)[-lines:] if lines else []
    assert found == b"".join(expected)


async def test_limit_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")

    assert await collect(path, LogOptions(limit_bytes=4)) == b"0123"
    assert await collect(path, LogOptions(limit_bytes=0)) == b""
    assert await collect(path, LogOptions(limit_bytes=99)) == b"0123456789"


async def test_an_old_log_is_left_out_by_since(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    os.utime(path, (1000, 1000))

    assert await collect(path, LogOptions(since=2000)) == b""
    assert await collect(path, LogOptions(since=500)) == b"old\n"


async def test_times_of_lines_are_not_pretended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()

    with pytest.raises(LogsError, match="keeps no times"):
        await collect(path, LogOptions(timestamps=True))


async def test_following_ends_with_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    running = True
    chunks = logs.read(path, LogOptions(follow=True), lambda: running)

    async with asyncio.timeout(30):
        assert await anext(chunks) == b"first\n"
        with path.open("ab") as stream:
            stream.write(b"last\n")
        running = False
        assert b"".join([chunk async for chunk in chunks]) == b"last\n"


def test_the_latest_run(tmp_path: Path) -> None:
    assert logs.latest(tmp_path, "main") is None

    for attempt in (0, 2, 10):
        path = logs.file_of(tmp_path, "main", attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert logs.latest(tmp_path, "main") == logs.file_of(tmp_path, "main", 10)


def test_last_words(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {n}\n" for n in range(200)))

    assert logs.last_words(path, lines=2) == "line 198\nline 199\n"
    assert logs.last_words(path, size=5) == " 199\n"
