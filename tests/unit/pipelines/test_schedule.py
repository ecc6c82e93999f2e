from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines.schedule import Schedule, ScheduleError, Trigger

MINUTELY = Trigger(expression="0 * * * * *")
NOON = 1_772_366_400  # 2026-03-01T12:00:00Z


def schedule(trigger: Trigger, created: float = NOON, *, catchup: bool = True) -> Schedule:
    return Schedule.read(trigger, created, catchup=catchup)


def test_a_cron_expression_counts_from_the_creation() -> None:
    found = schedule(MINUTELY, NOON + 0.9)
    assert found.following(None) == NOON + 60
    assert found.following(NOON + 60) == NOON + 120
    assert found.due(None, NOON + 59) is None
    assert found.due(None, NOON + 60) == NOON + 60


def test_an_interval_counts_from_the_start() -> None:
    found = schedule(Trigger(interval=90, start=NOON + 10))
    assert found.following(None) == NOON + 100
    assert found.following(NOON + 100) == NOON + 190
    assert schedule(Trigger(interval=90)).following(None) == NOON + 90
    assert schedule(Trigger(expression="@every 90s")).following(None) == NOON + 90


def test_the_start_may_be_long_ago_or_to_come() -> None:
    early = schedule(Trigger(expression="@daily", start=NOON - 3 * 86_400))
    assert early.due(None, NOON) == NOON - 86_400 * 3 + 43_200
    late = schedule(Trigger(expression="@daily", start=NOON + 86_400))
    assert late.following(None) == NOON + 86_400 + 43_200


def test_the_end_is_the_last_instant() -> None:
    found = schedule(Trigger(expression="0 * * * * *", end=NOON + 120))
    assert found.following(NOON + 60) == NOON + 120
    assert found.following(NOON + 120) is None
    assert found.due(NOON + 120, NOON + 10_000) is None


@pytest.mark.parametrize("trigger", [MINUTELY, Trigger(interval=60)])
def test_what_was_missed(trigger: Trigger) -> None:
    late = NOON + 3600 + 30
    assert schedule(trigger).due(None, late) == NOON + 60
    assert schedule(trigger).due(NOON + 60, late) == NOON + 120
    last = schedule(trigger, catchup=False)
    assert last.due(None, late) == NOON + 3600
    assert last.due(NOON + 3600, late) is None
    assert last.due(None, NOON + 60) == NOON + 60


@pytest.mark.parametrize("rule", [{"expression": "0 * * * * *"}, {"interval": 60}])
def test_what_was_missed_until_the_end(rule: dict[str, object]) -> None:
    ended = schedule(Trigger(end=NOON + 150, **rule), catchup=False)  # type: ignore[arg-type]
    assert ended.due(None, NOON + 10_000) == NOON + 120
    assert ended.due(NOON + 120, NOON + 10_000) is None


def test_the_latest_of_what_was_missed() -> None:
    found = schedule(MINUTELY)
    assert found.latest(None, NOON + 59) is None
    assert found.latest(None, NOON + 3630) == NOON + 3600
    assert found.latest(NOON + 3600, NOON + 3630) is None
    assert schedule(Trigger()).latest(None, NOON + 5) == NOON


def test_without_a_trigger_it_runs_once() -> None:
    once = schedule(Trigger(), NOON + 0.7)
    assert once.due(None, NOON) == NOON
    assert once.due(NOON, NOON + 10**9) is None
    assert once.following(NOON) is None


@pytest.mark.parametrize(
    ("trigger", "field", "said"),
    [
        (Trigger(expression="often"), "cron_schedule.cron", "six"),
        (Trigger(expression="0 0 0 30 2 *"), "cron_schedule.cron", "never"),
        (Trigger(interval=1, start=9, end=8), "periodic_schedule.end_time", "before start_time"),
        (Trigger(expression="@daily", start=9, end=8), "cron_schedule.end_time", "before"),
        (Trigger(interval=9, end=NOON + 8), "periodic_schedule.end_time", "nothing would run"),
        (Trigger(expression="@daily", end=5), "cron_schedule.end_time", "nothing would run"),
        (Trigger(interval=2**62), "periodic_schedule", "nothing would run"),
    ],
)
def test_what_cannot_be(trigger: Trigger, field: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=said) as caught:
        schedule(trigger)
    assert caught.value.field == field


def test_a_trigger_is_kept_as_json() -> None:
    for trigger in (Trigger(), Trigger(interval=9, start=1), Trigger(expression="@daily", end=7)):
        assert Trigger.decode(trigger.encode()) == trigger


@dataclass
class Service:
    """What a service does with a schedule, whenever it looks; it forgets all but the last."""

    schedule: Schedule
    last: int | None = None
    fired: list[int] = field(default_factory=list)

    def look(self, now: int) -> None:
        while (instant := self.schedule.due(self.last, now)) is not None:
            assert instant <= now
            self.fired.append(instant)
            self.last = instant


RULES = st.one_of(
    st.sampled_from(["0 */5 * * * *", "7,40 */9 * * * *", "0 0 */2 * * *", "@hourly"]).map(
        lambda text: {"expression": text}
    ),
    st.integers(90, 4000).map(lambda seconds: {"interval": seconds}),
)
# A service looks now and then, is away for hours, and its clock is set back and ahead.
LOOKS = st.lists(st.integers(-9_000, 9_000), min_size=1, max_size=12)


def rows(found: Schedule, until: int) -> list[int]:
    """Every instant up to a time, one after the other."""
    listed: list[int] = []
    following = found.following(None)
    while following is not None and following <= until:
        listed.append(following)
        following = found.following(following)
    return listed


@given(
    RULES,
    st.one_of(st.none(), st.integers(NOON - 20_000, NOON + 20_000)),
    st.one_of(st.none(), st.integers(NOON + 28_000, NOON + 60_000)),
    LOOKS,
)
def test_every_instant_fires_once(
    rule: dict[str, int], start: int | None, end: int | None, looks: list[int]
) -> None:
    trigger = Trigger(start=start, end=end, **rule)  # type: ignore[arg-type]
    service = Service(schedule(trigger))
    times = list(itertools.accumulate(looks, initial=NOON))
    for now in times:
        service.look(now)
    assert service.fired == rows(service.schedule, max(times))


@given(RULES, LOOKS)
def test_without_catch_up_the_last_fires(rule: dict[str, int], looks: list[int]) -> None:
    trigger = Trigger(**rule)  # type: ignore[arg-type]
    service = Service(schedule(trigger, catchup=False))
    times = list(itertools.accumulate(looks, initial=NOON))
    every = rows(service.schedule, max(times))
    furthest = 0
    for now in times:
        furthest = max(furthest, now)
        before = len(service.fired)
        service.look(now)
        assert len(service.fired) <= before + 1
        # Whatever the clock did, the last that has come has fired.
        come = every[: bisect.bisect_right(every, furthest)]
        assert service.fired[-1:] == come[-1:]
    assert service.fired == sorted(set(service.fired) & set(every))
