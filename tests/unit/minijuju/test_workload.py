"""What a charm hears of its workload containers."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju import pebble_api, workload


class Script:
    """A Pebble that plays a script: each step is a boot id, a list of notices or an error."""

    def __init__(self, *steps, changes=None):
        self.steps = list(steps)
        self.changes = changes or {}
        self.boot = ""
        self.after = []
        self.played = asyncio.Event()

    async def boot_id(self):
        while self.steps and isinstance(self.steps[0], str):
            self.boot = self.steps.pop(0)
        if not self.boot:
            raise pebble_api.PebbleUnavailableError("not yet")
        return self.boot

    async def notices(self, after, wait):
        self.after.append(after)
        if not self.steps:
            self.played.set()
            await asyncio.sleep(3600)
        step = self.steps.pop(0) if not isinstance(self.steps[0], str) else []
        if isinstance(step, Exception):
            raise step
        return step

    async def change(self, id_):
        return self.changes.get(id_)


def notice(type_="custom", key="example.com/a", at="2026-01-01T00:00:00.1Z", **data):
    return pebble_api.Notice(
        "7", type_, key, at, {k.replace("_", "-"): v for k, v in data.items()}
    )


async def play(script):
    events = []
    watcher = workload.Watcher("web", script, events.append)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(watcher.run())
        await script.played.wait()
        task.cancel()
    return events


async def test_each_start_of_pebble_is_told_once():
    events = await play(Script("one", [], "one", [], "two", []))
    assert [(event.kind, event.boot_id) for event in events] == [
        ("ready", "one"),
        ("ready", "two"),
    ]


async def test_a_pebble_that_does_not_answer_is_waited_for():
    gone = pebble_api.PebbleUnavailableError("gone")
    events = await play(Script("one", gone, "two", []))
    assert [event.boot_id for event in events] == ["one", "two"]


async def test_an_error_of_pebbles_is_logged_and_the_watch_goes_on(caplog, monkeypatch):
    monkeypatch.setattr(workload, "_LAST_PAUSE", 0.01)
    script = Script("one", pebble_api.PebbleApiError(500, "cannot list"), [notice()])
    events = await play(script)
    assert [event.kind for event in events] == ["ready", "custom-notice"]
    assert "web: watching Pebble: cannot list (HTTP 500)" in caplog.text


async def test_a_custom_notice_carries_id_type_and_key():
    _, event = await play(Script("one", [notice()]))
    assert event == workload.WorkloadEvent(
        "custom-notice",
        "web",
        boot_id="one",
        notice_id="7",
        notice_type="custom",
        notice_key="example.com/a",
    )


async def test_notices_are_asked_for_after_the_latest_one():
    early, late = "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.12Z"
    script = Script("one", [notice(at=late), notice(at=early)], [])
    await play(script)
    assert script.after == [None, late, late]


async def test_a_clock_that_is_set_back_hides_no_notice(monkeypatch):
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
    clock = [noon + 3600]
    monkeypatch.setattr(workload.time, "time", lambda: clock[0])
    monkeypatch.setattr(workload, "_LAST_PAUSE", 0.01)
    before = notice(at="2026-01-01T12:59:00Z", key="example.com/before")
    after = replace(before, id="8", key="example.com/after", last_repeated="2026-01-01T12:00:01Z")

    class Pebble(Script):
        async def notices(self, after, wait):
            found = await super().notices(after, wait)
            clock[0] = noon
            return found

    script = Pebble("one", [before], [before], [before, after], [before, after])
    events = await play(script)
    assert [event.notice_key for event in events] == [
        *("", "example.com/before", "example.com/after")
    ]
    # What was told is of a time to come: asked for is the last minute of the new time.
    assert script.after == [None, *["2026-01-01T11:59:00.000000Z"] * 4]


@pytest.mark.parametrize(
    ("kind", "status", "heard"),
    [
        ("perform-check", "Error", "check-failed"),
        ("perform-check", "Doing", None),
        ("perform-check", "Done", None),
        ("perform-check", None, "check-failed"),
        ("recover-check", "Done", "check-recovered"),
        ("recover-check", "Doing", None),
        ("recover-check", "Error", None),
        ("recover-check", None, "check-recovered"),
        ("autostart", "Error", None),
    ],
)
async def test_checks_by_the_status_of_their_change(kind, status, heard):
    changes = {}
    if status:
        changes["3"] = pebble_api.Change("3", kind, status, {"check-name": "up"})
    told = notice("change-update", "3", kind=kind, check_name="up")
    _, *events = await play(Script("one", [told], changes=changes))
    expected = [workload.WorkloadEvent(heard, "web", boot_id="one", check_name="up")]
    assert events == (expected if heard else [])


async def test_other_notices_are_not_for_the_charm():
    events = await play(Script("one", [notice("warning", "careful")]))
    assert [event.kind for event in events] == ["ready"]


@given(st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=2), st.integers(0, 59))
def test_moments_are_in_the_order_of_time(nanoseconds, second):
    def written(value):
        decimals = f"{value:09d}".rstrip("0")
        return f"2026-01-01T00:00:{second:02d}{'.' + decimals if decimals else ''}Z"

    ordered = sorted((written(value) for value in nanoseconds), key=workload.moment)
    assert ordered == [written(value) for value in sorted(nanoseconds)]
    assert workload.moment("") < workload.moment(ordered[0])


def test_events_can_be_told_apart():
    base = workload.WorkloadEvent("ready", "web", boot_id="one")
    others = [replace(base, container="db"), replace(base, boot_id="two")]
    assert all(a != b for a, b in itertools.combinations([base, *others], 2))
