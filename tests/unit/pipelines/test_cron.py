from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines import cron
from toolkit_pipelines.cron import Cron, CronError

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("cron.yaml").read_text())


def read(expression: str) -> Cron:
    found = cron.parse(expression)
    assert isinstance(found, Cron)
    return found


@pytest.mark.parametrize(("expression", "instants"), TABLE["comes"].items())
def test_what_comes(expression: str, instants: list[int]) -> None:
    found, moment = read(expression), TABLE["from"]
    for expected in instants:
        moment = found.after(moment)
        assert moment == expected
        assert found.until(moment) == expected


@pytest.mark.parametrize("expression", TABLE["never"])
def test_what_never_comes(expression: str) -> None:
    with pytest.raises(CronError, match=r"never comes|is empty"):
        cron.parse(expression)


@pytest.mark.parametrize("expression", TABLE["refused"])
def test_what_is_none(expression: str) -> None:
    with pytest.raises(CronError):
        cron.parse(expression)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * *", "six, 'second minute hour"),
        ("0 60 * * * *", "the minute '60'"),
        ("0 0 * * 13 *", "the month '13' is none: it takes numbers from 1 to 12 or jan"),
        ("0 0 0 ? * 7", "the day of week '7'"),
        ("0 0 0 L * *", "the day of month 'L'"),
        ("@often", "known: @yearly"),
        ("@every soon", "'soon' is no interval such as 30s"),
        ("@every 0s", "above zero"),
        ("@every 1h1", "no interval"),
        ("0 " * 600, "1200 characters"),
        (f"{'9' * 500} * * * * *", "the second"),
        ("0 0 0 ١ * *", "the day of month"),
    ],
)
def test_what_is_wrong_is_said(expression: str, said: str) -> None:
    with pytest.raises(CronError) as caught:
        cron.parse(expression)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("1h30m", 5400), ("1.5h", 5400), ("300ms", 1), ("1999ms", 1), (".5m", 30)],
)
def test_intervals(text: str, seconds: int) -> None:
    assert cron.parse(f"@every {text}") == seconds


def test_a_leap_day_is_waited_for() -> None:
    leap = read("0 0 0 29 2 ?")
    assert leap.after(1_709_251_200) == 1_835_395_200  # after 2024's, 2028's
    assert leap.until(1_835_395_199) == 1_709_164_800
    # 2100 is no leap year: after 2096's, 2104's.
    assert leap.after(3_981_312_000) == 4_233_686_400


def test_time_ends() -> None:
    yearly = read("@yearly")
    assert yearly.after(253_370_764_799) == 253_370_764_800
    assert yearly.after(253_370_764_800) is None


_FIELDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def expressions(draw: st.DrawFn) -> str:
    words = []
    for low, high in _FIELDS:
        one = st.integers(low, high)
        words.append(
            draw(
                st.one_of(
                    st.just("*"),
                    st.just("?"),
                    one.map(str),
                    st.integers(1, 20).map(lambda step: f"*/{step}"),
                    st.lists(one, min_size=1, max_size=4).map(lambda x: ",".join(map(str, x))),
                    st.tuples(one, one).map(lambda x: f"{min(x)}-{max(x)}"),
                )
            )
        )
    return " ".join(words)


@given(expressions(), st.integers(0, 4_000_000_000))
def test_both_directions_agree(expression: str, moment: int) -> None:
    try:
        found = read(expression)
    except CronError:
        return
    after = found.after(moment)
    assert after is not None
    assert after > moment
    # Nothing lies between, from either side.
    assert found.until(after) == after
    before = found.until(after - 1)
    if before is not None:
        assert before <= moment
        assert found.after(before) == after
