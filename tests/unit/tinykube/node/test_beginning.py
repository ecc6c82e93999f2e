"""When a pod was taken up, as its folder and the API tell it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tinykube.node.beginning import begun

SAID, WHOLE = "2026-01-02T03:04:05Z", 1767323045.0


def test_it_is_noted_and_stays(tmp_path: Path) -> None:
    before = time.time()
    first = begun(tmp_path, None, None)
    assert before <= first <= time.time()
    assert begun(tmp_path, None, SAID) == first


def test_what_the_api_knows_stays_where_the_folder_is_new(tmp_path: Path) -> None:
    assert begun(tmp_path, None, SAID) == WHOLE
    assert begun(tmp_path, None, None) == WHOLE


@pytest.mark.parametrize(
    ("addressed", "said", "found"),
    [
        (WHOLE + 0.25, None, WHOLE + 0.25),
        (WHOLE + 0.25, SAID, WHOLE + 0.25),
        # The file was lost and written anew, or the clock was set meanwhile.
        (WHOLE + 60, SAID, WHOLE),
        (WHOLE - 0.25, SAID, WHOLE),
    ],
)
def test_the_time_of_its_address(
    tmp_path: Path, addressed: float, said: str | None, found: float
) -> None:
    assert begun(tmp_path, addressed, said) == found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("addressed", [None, WHOLE + 60])
def test_a_pod_of_an_earlier_release(tmp_path: Path, addressed: float | None) -> None:
    (tmp_path / "started").write_text(repr(WHOLE + 0.5))
    assert begun(tmp_path, addressed, SAID) == WHOLE + 0.5


def test_a_note_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "started").touch()
    before = time.time()
    assert before <= begun(tmp_path, None, None) <= time.time()
