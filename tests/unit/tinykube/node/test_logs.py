from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.node import logs, timeline
from tinykube.node.client import LogOptions
from tinykube.node.growth import Growth


@pytest.fixture
async def growth() -> AsyncIterator[Growth]:
    made = Growth()
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()
    await asyncio.wait((task,))


async def collect(path: Path, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in logs.read(path, options, lambda: False, Growth())])


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


def timed(path: Path, *parts: tuple[bytes, float]) -> None:
    """A log whose parts were written at these seconds."""
    recorder = timeline.Recorder(path)
    for text, second in parts:
        with path.open("ab") as stream:
            stream.write(text)
        os.utime(path, (second, second))
        recorder.note()


async def test_times_before_lines(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    timed(path, (b"a\nb", 1.25), (b"c\n\n", 2), (b"d\re", 3))

    assert (await collect(path, LogOptions(timestamps=True))).splitlines(keepends=True) == [
        b"1970-01-01T00:00:01.250000000Z a\n",
        b"1970-01-01T00:00:01.250000000Z bc\n",
        b"1970-01-01T00:00:02.000000000Z \n",
        b"1970-01-01T00:00:03.000000000Z d\r",
        b"e",
    ]


@pytest.mark.parametrize(
    ("since", "expected"),
    [(0, b"a\nb\nc\nd\n"), (1, b"a\nb\nc\nd\n"), (1.5, b"c\nd\n"), (2.5, b"d\n"), (3.5, b"")],
)
async def test_since_is_exact(tmp_path: Path, since: float, expected: bytes) -> None:
    path = tmp_path / "0.log"
    timed(path, (b"a\n", 1), (b"b\n", 1), (b"c\n", 2), (b"d\n", 3))

    assert await collect(path, LogOptions(since=since)) == expected
    assert await collect(path, LogOptions(since=since, tail_lines=1)) == expected[-2:]


async def test_times_never_go_backwards(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    timed(path, (b"a\n", 1000), (b"b\n", 500))

    found = await collect(path, LogOptions(timestamps=True))

    assert [line[:19] for line in found.splitlines()] == [b"1970-01-01T00:16:40"] * 2


@given(
    parts=st.lists(st.sampled_from([b"\n", b"x", b"long line\n"]), max_size=30),
    cuts=st.lists(st.integers(1, 20), max_size=30),
)
def test_times_change_no_line(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], cuts: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "times.log"
    text = b"".join(parts)
    path.write_bytes(text)
    stamped, at, found = logs._Stamped(path, 0), 0, b""
    for cut in [*cuts, len(text) + 1]:
        found += stamped.add(text[at : at + cut]) if at < len(text) else b""
        at += cut

    lines = found.split(b"\n")
    assert b"\n".join(line[31:] for line in lines) == text
    assert all(len(line) >= 31 for line in lines[:-1])


async def test_limits_count_the_times(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    timed(path, (b"abc\n", 1))

    found = await collect(path, LogOptions(timestamps=True, limit_bytes=33))
    assert found == b"1970-01-01T00:00:01.000000000Z ab"


async def test_following_ends_with_the_last_line(tmp_path: Path, growth: Growth) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    running = True
    growth.add(path)
    chunks = logs.read(path, LogOptions(follow=True), lambda: running, growth)

    async with asyncio.timeout(30):
        assert await anext(chunks) == b"first\n"
        with path.open("ab") as stream:
            stream.write(b"last\n")
        running = False
        assert b"".join([chunk async for chunk in chunks]) == b"last\n"


def test_last_words(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {n}\n" for n in range(200)))

    assert logs.last_words(path, lines=2) == "line 198\nline 199\n"
    assert logs.last_words(path, size=5) == " 199\n"
