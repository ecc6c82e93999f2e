from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_pipelines import paging
from toolkit_pipelines.filters import Field, Kind
from toolkit_pipelines.paging import PageError, Pager, Position, Request

FIELDS = {"display_name": Field("display_name"), "created_at": Field("created", Kind.TIME)}
PAGER = Pager(b"key")


def query(
    request: Request, scope: dict[str, str] | None = None, name: str = "runs"
) -> paging.Query:
    return PAGER.query(name, request, FIELDS, scope or {})


def token(request: Request = Request(), scope: dict[str, str] | None = None) -> str:  # noqa: B008
    return PAGER.token("runs", query(request, scope), Position(1.5, "id"))


def test_defaults() -> None:
    found = query(Request())
    assert found.sort == paging.Sort(Field("created", Kind.TIME), descending=False)
    assert found.size == paging.DEFAULT_SIZE
    assert found.after is None


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("0", 20), ("100000", 200)])
def test_size(text: str, size: int) -> None:
    assert query(Request(page_size=text)).size == size


@pytest.mark.parametrize("text", ["-1", "x", "1.5", " 7", "1_0", "٣", "9" * 10])
def test_bad_size(text: str) -> None:
    with pytest.raises(PageError, match="page_size"):
        query(Request(page_size=text))


@pytest.mark.parametrize(
    "text", ["secret", "created_at; DROP TABLE runs", "created_at up", "a b c", "metadata desc"]
)
def test_bad_sort(text: str) -> None:
    with pytest.raises(PageError, match="sort"):
        query(Request(sort_by=text))


def test_a_token_carries_the_query() -> None:
    text = '{"predicates":[{"operation":1,"key":"display_name","stringValue":"x"}]}'
    request = Request(sort_by="display_name desc", filter=text)
    found = query(Request(page_token=token(request)))
    assert found.after == Position(1.5, "id")
    assert found.sort.descending
    assert found.predicates == query(request).predicates


def test_a_token_refuses_another_query() -> None:
    for other in (Request(sort_by="display_name"), Request(filter="{}")):
        with pytest.raises(PageError, match="differs"):
            query(
                Request(token(Request(sort_by="created_at desc")), "", other.sort_by, other.filter)
            )


def test_a_token_belongs_to_its_list_and_scope() -> None:
    scoped = token(scope={"experiment_id": "a"})
    assert query(Request(scoped), {"experiment_id": "a"}).after is not None
    for scope, name in (({}, "runs"), ({"experiment_id": "b"}, "runs"), ({}, "pipelines")):
        with pytest.raises(PageError, match="page_token"):
            query(Request(scoped), scope, name)


def test_forged_tokens() -> None:
    good = token()
    raw = bytearray(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    state = json.loads(raw[32:]) | {"id": "' OR 1=1 --"}
    made_up = base64.urlsafe_b64encode(bytes(raw[:32]) + json.dumps(state).encode()).decode()
    other_key = Pager(b"other").token("runs", query(Request()), Position(1.5, "id"))
    for text in (made_up, other_key, good[:-4], "x", "é", "=" * 9, "a" * 200_000):
        with pytest.raises(PageError, match="page_token"):
            query(Request(text))


@given(st.data())
def test_no_changed_byte_is_accepted(data: st.DataObject) -> None:
    good = token()
    raw = bytearray(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PageError):
        query(Request(base64.urlsafe_b64encode(bytes(raw)).decode()))
