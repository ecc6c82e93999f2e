"""What a step closes in its folder, on a real disk and with the kernel's own notifications."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from toolkit_launcher import files
from toolkit_pipelines import endings
from toolkit_pipelines.documents import Kind, VolumeDocuments
from toolkit_pipelines.endings import Endings
from toolkit_pipelines.store.documents import StoredDocuments

PATIENCE = 30.0
HOME = "pipeline/run/task/0123456789abcdef"


class Listener:
    """One attempt that is listened to; `heard` counts what is told of it."""

    def __init__(self, folder: Path) -> None:
        self.documents = VolumeDocuments(folder)
        self.endings = Endings(self.documents)
        self.heard = 0
        self._changed = asyncio.Event()

    def listen(self, home: str = HOME) -> Path:
        self.documents.write(home, Kind.INPUT, "{}")
        self.endings.hear(home, self._told)
        self.endings.watch(home)
        path = self.documents.path(home, Kind.RESULT)
        assert path is not None
        return path

    def _told(self) -> None:
        self.heard += 1
        self._changed.set()

    async def told(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.heard < times:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    found = Listener(tmp_path)
    found.endings.open()
    yield found
    found.endings.close()


async def test_a_record_is_told_once_it_is_whole(listener: Listener) -> None:
    path = listener.listen()

    await asyncio.to_thread(files.write_json, str(path), {"exit_code": 0})
    await listener.told(1)

    assert json.loads(path.read_text()) == {"exit_code": 0}


async def test_nothing_else_in_the_folder_is(listener: Listener) -> None:
    path = listener.listen()
    other = listener.listen("pipeline/run/other/0123456789abcdef")
    (path.parent / "model.bin").write_bytes(b"1")
    (path.parent / "inner").mkdir()
    (path.parent / "inner" / "result.json").write_text("{}")

    other.write_text("{}")
    await listener.told(1)

    path.write_text("{}")
    await listener.told(2)


async def test_a_step_that_closes_file_after_file_is_not_listened_to(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "_PATIENCE", 3)
    path = listener.listen()
    other = listener.listen("pipeline/run/other/0123456789abcdef")
    for number in range(5):
        (path.parent / f"{number}").write_text("")
    other.write_text("{}")
    await listener.told(1)

    path.write_text("{}")
    other.write_text("{}")
    await listener.told(2)

    listener.endings.leave(HOME)


async def test_what_was_left_is_told_no_more(listener: Listener) -> None:
    path = listener.listen()
    other = listener.listen("pipeline/run/other/0123456789abcdef")
    listener.endings.leave(HOME)
    listener.endings.leave(HOME)

    path.write_text("{}")
    other.write_text("{}")
    await listener.told(1)


async def test_a_folder_that_was_deleted_is_left_like_any_other(listener: Listener) -> None:
    path = listener.listen()
    shutil.rmtree(path.parent)

    listener.endings.leave(HOME)


async def test_a_link_in_place_of_the_folder_is_not_followed(
    listener: Listener, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = tmp_path / HOME
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    listener.endings.hear(HOME, listener._told)
    listener.endings.watch(HOME)
    other = listener.listen("pipeline/run/other/0123456789abcdef")

    (elsewhere / "result.json").write_text("{}")
    other.write_text("{}")
    await listener.told(1)


async def test_without_the_kernel_s_help_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**options: Any) -> None:
        raise OSError(24, "too many inotify instances")

    monkeypatch.setattr(endings, "INotify", refuse)
    listener = Listener(tmp_path)
    with caplog.at_level(logging.WARNING):
        listener.endings.open()

    listener.listen().write_text("{}")
    listener.endings.leave(HOME)
    listener.endings.close()

    assert listener.heard == 0
    assert "too many inotify instances" in caplog.text


async def test_records_in_a_database_are_in_no_folder() -> None:
    # It is not asked for anything.
    listening = Endings(StoredDocuments(None))  # type: ignore[arg-type]
    listening.open()
    listening.hear(HOME, lambda: None)
    listening.watch(HOME)
    listening.leave(HOME)
    listening.close()


async def test_what_is_watched_after_the_end_is_not_there(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    listener.endings.open()
    listener.endings.close()

    listener.listen()

    assert not listener.endings._told
    assert not listener.endings._watches


async def test_what_is_left_while_it_is_being_watched_is_not_watched(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify = listener.endings._notify
    assert notify is not None
    add = notify.add_watch

    def left_meanwhile(*arguments: Any) -> int:
        listener.endings.leave(HOME)
        return add(*arguments)

    monkeypatch.setattr(notify, "add_watch", left_meanwhile)
    listener.listen()

    assert not listener.endings._watches
    assert not listener.endings._numbers
