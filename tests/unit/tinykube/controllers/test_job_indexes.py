from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.controllers.jobs import indexes


@pytest.mark.parametrize(
    ("found", "text"),
    [((), ""), ((3,), "3"), ((0, 1), "0,1"), ((0, 1, 2), "0-2"), ((5, 1, 2, 3, 9), "1-3,5,9")],
)
def test_text(found, text):
    assert indexes.write(found) == text
    assert indexes.parse(text, 10) == set(found)


@given(st.sets(st.integers(0, 60)))
def test_there_and_back(found):
    assert indexes.parse(indexes.write(found), 61) == found


def test_indexes_that_are_not_asked_for_any_more_are_left_out():
    assert indexes.parse("0-9,12", 3) == {0, 1, 2}


@pytest.mark.parametrize("text", ["x", "1-", "5-3"])
def test_wrong_ones(text):
    with pytest.raises(ValueError):
        indexes.parse(text, 10)
