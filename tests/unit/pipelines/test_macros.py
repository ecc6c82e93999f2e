from __future__ import annotations

from typing import Any

import pytest

from toolkit_pipelines import macros
from toolkit_pipelines.macros import Occasion

RUN = "0b4c7bb8-8f0c-4a43-a3bb-8d3b8f6f3f10"
# Saturday 2026-03-07T09:05:08.9Z, made two minutes and a bit after it was due.
DUE = 1_772_874_308.9
SCHEDULED = Occasion(run_id=RUN, now=DUE + 125, scheduled=DUE, index=27)
ALONE = Occasion(run_id=RUN, now=DUE + 125)


def expanded(text: Any, occasion: Occasion = SCHEDULED) -> Any:
    return macros.expand({"x": text}, occasion)["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("at [[ScheduledTime]] by [[CurrentTime]]", "at 20260307090508 by 20260307090713"),
        ("[[Index]]/[[RunUUID]]", f"27/{RUN}"),
        ("[[ScheduledTime.2006-01-02]]", "2026-03-07"),
        ("[[ScheduledTime.2006-01-02T15:04:05Z07:00]]", "2026-03-07T09:05:08Z"),
        ("[[CurrentTime.Mon Jan _2 15-04-05 MST 2006]]", "Sat Mar  7 09-07-13 UTC 2026"),
        ("[[ScheduledTime.Monday, January 2, 06 3:4:5 PM pm -0700]]",
         "Saturday, March 7, 26 9:5:8 AM am +0000"),
        ("[[ScheduledTime.002 __2 _2006 Month Janet 1 03]]", "066  66 _2026 Month Janet 3 09"),
        ("{{$.scheduledTime.strftime('%Y/%m/%d %H%%')}}", "2026/03/07 09%"),
        ("{{$.currentTime.strftime('%s %b')}}", "1772874433 Mar"),
        ("[[ScheduledTime.]]", "20260307090508"),
        ("[[Nothing]] [[index]] {{$.inputs}} [[]]", "[[Nothing]] [[index]] {{$.inputs}} [[]]"),
        ("{{$.scheduledTime.strftime('%E')}}", "{{$.scheduledTime.strftime('%E')}}"),
        (f"[[ScheduledTime.{'-' * 98}06]]", f"{'-' * 98}26"),
        (f"[[ScheduledTime.{'-' * 99}06]]", f"[[ScheduledTime.{'-' * 99}06]]"),
        (f"{{{{$.scheduledTime.strftime('{'-' * 99}%y')}}}}",
         f"{{{{$.scheduledTime.strftime('{'-' * 99}%y')}}}}"),
        ("{{$.scheduledTime.strftime('100%')}}", "{{$.scheduledTime.strftime('100%')}}"),
        ("", ""),
    ],
)  # fmt: skip
def test_strings(text: str, value: str) -> None:
    assert expanded(text) == value


@pytest.mark.parametrize("value", [1, 1.5, None, True, ["[[Index]]"], {"[[Index]]": "[[Index]]"}])
def test_what_is_no_string_stays(value: Any) -> None:
    assert expanded(value) == value


def test_a_run_of_no_schedule() -> None:
    text = "[[ScheduledTime]] [[Index]] {{$.scheduledTime.strftime('%Y')}}"
    assert expanded(text, ALONE) == text
    assert expanded("[[RunUUID]] [[CurrentTime.2006]]", ALONE) == f"{RUN} 2026"


def test_long_and_odd_text_takes_no_time() -> None:
    for part in ("[[", "[[ScheduledTime.", "{{$.currentTime.strftime('"):
        text = part * 100_000
        assert expanded(text) == text
