"""A model's log: clean lines, bounded files, and followers who miss nothing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import logs
from minijuju.logs import Log


@given(st.text(max_size=200))
def test_lines_are_safe_to_print(text):
    shown = logs.clean(text)
    assert all(char.isprintable() or char == "\t" for char in shown)
    assert len(shown) <= logs.MAX_LINE


def test_a_long_line_is_cut():
    shown = logs.clean("x" * 1_000_000)
    assert len(shown) == logs.MAX_LINE
    assert shown.endswith("[cut]")


@pytest.fixture
async def log(tmp_path):
    log = Log(tmp_path / "m.log")
    yield log
    log.close()


async def test_write_and_read(log):
    log.write("app/0", "info", "unit", "one\ntwo")
    log.write("app/0", "NONSENSE", "unit", "three")
    records = log.read()
    assert [record["message"] for record in records] == ["one", "two", "three"]
    assert {record["level"] for record in records} == {"INFO"}
    assert log.path.stat().st_mode & 0o777 == 0o600


async def test_files_are_bounded(log, monkeypatch):
    monkeypatch.setattr(logs, "MAX_FILE", 2000)
    for number in range(100):
        log.write("app/0", "INFO", "unit", f"line {number}")
    assert log.path.stat().st_size <= 2000
    assert log.old.stat().st_size <= 2000
    assert log.read()[-1]["message"] == "line 99"


async def test_a_line_cut_by_a_crash_is_left_out(log):
    log.write("app/0", "INFO", "unit", "whole")
    with log.path.open("a") as file:
        file.write('{"timestamp": 1, "ent')
    assert [record["message"] for record in log.read()] == ["whole"]


async def test_what_is_read_and_what_is_followed_meet_at_one_place(log, monkeypatch):
    """By where lines are, not by their times: a clock may go back."""
    monkeypatch.setattr(logs, "MAX_FILE", 1000)
    moments = iter(range(1000, 0, -1))
    monkeypatch.setattr(logs.time, "time", lambda: next(moments))
    for number in range(3):
        log.write("app/0", "INFO", "unit", f"line {number}")
    with log.path.open("a") as file:
        file.write('{"timestamp": 1, "ent\n')
    end = log.end()
    for number in range(3, 12):
        log.write("app/0", "INFO", "unit", f"line {number}")
    assert log.old.exists()
    read = [record["message"] for record in log.read(end)]
    assert read == [f"line {number}" for number in range(3)]


async def test_following_over_a_rotation(log, monkeypatch):
    monkeypatch.setattr(logs, "MAX_FILE", 1000)
    log.write("app/0", "INFO", "unit", "before")
    follower = log.follow(log.end())
    seen = []

    async def follow():
        async for record in follower:
            seen.append(record["message"])
            if record["message"] == "19":
                return

    task = asyncio.create_task(follow())
    for number in range(20):
        log.write("app/0", "INFO", "unit", str(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.wait_for(task, 10)
    assert seen == [str(number) for number in range(20)]


RECORD = {"level": "WARNING", "entity": "app/0"}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, True),
        ({"level": "WARNING"}, True),
        ({"level": "error"}, False),
        ({"include": ["app/0"]}, True),
        ({"include": ["app"]}, True),
        ({"include": ["unit-app-0"]}, True),
        ({"include": ["app/*"]}, True),
        ({"include": ["other"]}, False),
        ({"exclude": ["app/0"]}, False),
        ({"include": ["app"], "exclude": ["app/1"]}, True),
    ],
)
def test_matches(options, wanted):
    assert logs.matches(RECORD, **{"level": "", "include": [], "exclude": [], **options}) is wanted


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ([], [], True),
        (["juju.worker"], [], True),
        (["juju.work"], [], False),
        (["unit", "juju"], [], True),
        ([], ["juju.worker.uniter"], False),
        (["juju"], ["juju.worker"], False),
    ],
)
def test_modules_are_meant_with_what_is_below_them(include, exclude, wanted):
    assert logs.of_modules({"module": "juju.worker.uniter"}, include, exclude) is wanted
