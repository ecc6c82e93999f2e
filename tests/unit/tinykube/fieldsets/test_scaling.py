"""Each row is what a real API server answered."""

import pytest

from tinykube.fieldsets import scaled

VERSION = "example.com/v1"
NUMBER = {"f:spec": {"f:replicas": {}}}
BOTH = {"f:spec": {".": {}, "f:replicas": {}, "f:size": {}}}
SIZE = {"f:spec": {".": {}, "f:size": {}}}


def item(manager, fields, operation="Update", part="", time="2001-01-01T00:00:00Z"):
    made = {
        "manager": manager,
        "operation": operation,
        "apiVersion": VERSION,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return made | ({"subresource": part} if part else {}) | ({"time": time} if time else {})


@pytest.mark.parametrize(
    ("before", "numbers", "after"),
    [
        ([], (0, 4), []),
        ([item("one", SIZE)], (0, 4), [item("one", SIZE)]),
        # Who sets it owns it, at no moment, if somebody did.
        (
            [item("one", BOTH)],
            (2, 4),
            [item("two", NUMBER, part="scale", time=""), item("one", SIZE)],
        ),
        ([item("two", NUMBER, part="scale", time="")], (2, 0), []),
        # The same number again: it only gets an entry of its own.
        ([item("one", BOTH)], (2, 2), [item("one", NUMBER, time=""), item("one", SIZE)]),
        # And of two entries of one manager one is left.
        (
            [item("one", NUMBER, time=""), item("one", SIZE)],
            (2, 2),
            [item("one", SIZE)],
        ),
        # Who applies keeps what is not changed.
        ([item("one", NUMBER, "Apply")], (9, 9), [item("one", NUMBER, "Apply")]),
        (
            [item("one", NUMBER, "Apply")],
            (9, 5),
            [item("two", NUMBER, part="scale", time="")],
        ),
    ],
)
def test_who_owns_the_number(before, numbers, after):
    assert scaled(before, ".spec.replicas", numbers, "two", VERSION) == after
