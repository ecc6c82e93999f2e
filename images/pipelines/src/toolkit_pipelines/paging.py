"""Pages of a list: how many, sorted by what, from where on.

A page ends at a position (the sort key's value and the id of its last row), not at a count, so a
deep page costs what the first one costs and rows that come or go meanwhile repeat or lose
nothing else. The position travels in a signed token, with the query that it belongs to: a token
that was altered, made up, or moved to another list or scope is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import filters
from .filters import Field, FilterError, Predicate

DEFAULT_SIZE = 20
MAX_SIZE = 200
_MAX_TOKEN = 128 * 1024


class PageError(ValueError):
    """A page token, size or sort order cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a list; ties are broken by id in the same direction."""

    field: Field
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the page before: the sort key's value and the id."""

    value: str | float
    id: str


@dataclass(frozen=True, slots=True)
class Query:
    """What a list asks of the store.

    Attributes:
        scope: columns with the values that they must have (`experiment_id`, say).
        predicates: the filter.
        sort: the order.
        size: the number of rows in a page.
        after: where the page before ended, or None for the first.
        sort_by: the sort order as text, for the token.
        filter: the filter as text, for the token.
    """

    scope: Mapping[str, str]
    predicates: tuple[Predicate, ...]
    sort: Sort
    size: int
    after: Position | None
    sort_by: str
    filter: str


@dataclass(frozen=True, slots=True)
class Request:
    """The paging parameters of a list request, as they came ("" if absent)."""

    page_token: str = ""
    page_size: str = ""
    sort_by: str = ""
    filter: str = ""


class Pager:
    """Makes queries from list requests, and tokens for the pages that follow."""

    def __init__(self, key: bytes) -> None:
        """`key` signs the tokens; every process that serves the same store has the same."""
        self._key = key

    def query(
        self,
        resource: str,
        request: Request,
        fields: Mapping[str, Field],
        scope: Mapping[str, str],
        default_sort: str = "created_at",
    ) -> Query:
        """Give what a list request asks for.

        With a page token, `sort_by` and `filter` may be left out, or must be what they were.

        Raises:
            PageError: the size, the order, the filter or the token cannot be used.
        """
        sort_by, filter_text, after = request.sort_by, request.filter, None
        if request.page_token:
            state = self._open(resource, request.page_token, scope)
            for name, given, kept in (
                ("sort_by", sort_by, state["sort_by"]),
                ("filter", filter_text, state["filter"]),
            ):
                if given and given != kept:
                    raise PageError(f"{name} differs from that of the page before")
            sort_by, filter_text = state["sort_by"], state["filter"]
            after = Position(state["value"], state["id"])
        try:
            predicates = filters.parse(filter_text, fields)
        except FilterError as error:
            raise PageError(str(error)) from error
        sort = _sort(sort_by or default_sort, fields)
        size = _size(request.page_size)
        return Query(scope, predicates, sort, size, after, sort_by, filter_text)

    def token(self, resource: str, query: Query, last: Position) -> str:
        """Give the token of the page that follows the row at `last`."""
        state = {
            "resource": resource,
            "scope": dict(query.scope),
            "sort_by": query.sort_by,
            "filter": query.filter,
            "value": last.value,
            "id": last.id,
        }
        payload = json.dumps(state, separators=(",", ":"), sort_keys=True).encode()
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def _open(self, resource: str, token: str, scope: Mapping[str, str]) -> dict[str, Any]:
        refused = PageError("page_token is not one that this list gave")
        if len(token) > _MAX_TOKEN:
            raise refused
        try:
            raw = base64.b64decode(
                token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (UnicodeEncodeError, binascii.Error) as error:
            raise refused from error
        digest_size = hashlib.sha256().digest_size
        signature, payload = raw[:digest_size], raw[digest_size:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise refused
        # Signed, so it is what `token` wrote.
        state: dict[str, Any] = json.loads(payload)
        if state["resource"] != resource or state["scope"] != dict(scope):
            raise refused
        return state

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, b"page-token:" + payload, "sha256")


def _sort(text: str, fields: Mapping[str, Field]) -> Sort:
    words = text.split()
    direction = words[1].lower() if len(words) == 2 else "asc"
    if not 1 <= len(words) <= 2 or direction not in ("asc", "desc"):
        raise PageError(f"sort_by must be a key and perhaps asc or desc, not {text!r}")
    field = fields.get(words[0])
    if field is None:
        raise PageError(f"cannot sort by {words[0]!r}; known keys: {', '.join(sorted(fields))}")
    return Sort(field, descending=direction == "desc")


def _size(text: str) -> int:
    if not text:
        return DEFAULT_SIZE
    # Only ASCII digits: int() would take ' 7 ', '1_0' and other scripts' digits as well.
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise PageError(f"page_size must be a number from 0 to {MAX_SIZE}, not {text[:40]!r}")
    # 0 is how a client says that it does not mind.
    return min(int(text), MAX_SIZE) or DEFAULT_SIZE
