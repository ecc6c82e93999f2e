"""Bodies with one thing wrong."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

from .words import JSON

_OWNERS = "ownerReferences"
_WRONG = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "A_B", "a/b/c", [], ["x"], [1], {}, {"x": "y"}, {"x": 1}]
)


def places(body: JSON, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of everything inside a body."""
    inner = body.items() if isinstance(body, dict) else enumerate(body)
    found: list[tuple[str | int, ...]] = []
    for key, value in inner if isinstance(body, dict | list) else ():
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


@st.composite
def spoiled(
    draw: st.DrawFn,
    good: st.SearchStrategy[JSON],
    untouched: tuple[tuple[str | int, ...], ...] = (),
) -> JSON:
    """A body with one thing wrong: another type, something missing, something unknown."""
    body = copy.deepcopy(draw(good))
    # An owner that is not there is as good as a deletion, at a time of the controller's own.
    free = [path for path in places(body) if path not in untouched and _OWNERS not in path]
    path = draw(st.sampled_from(free))
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    how = draw(st.sampled_from(["change", "change", "remove", "add"]))
    if how == "change":
        holder[path[-1]] = draw(_WRONG)
    elif how == "remove":
        del holder[path[-1]]
    elif isinstance(holder, dict):
        holder["unknownField"] = draw(_WRONG)
    else:
        holder.append(draw(_WRONG))
    return body
