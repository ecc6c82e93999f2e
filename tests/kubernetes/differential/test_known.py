"""The table of differences that are meant: whole, and no wider than its rows say."""

import pytest

from . import known
from .kinds import KINDS
from .known import Known
from .runner import Difference
from .sequences import Request

PODS = next(kind for kind in KINDS if kind.plural == "pods")
FOUND = Difference(Request(PODS, "POST"), "body.spec.x", "one word", ..., (201, 201))


@pytest.mark.parametrize(
    ("row", "explains"),
    [
        (Known("r"), True),
        (Known("r", kinds=("pods",), methods=("POST",), codes=(201, 201)), True),
        (Known("r", kinds=("jobs",)), False),
        (Known("r", methods=("PUT",)), False),
        (Known("r", codes=(201, 422)), False),
        (Known("r", path=r"body\.spec"), False),
        (Known("r", path=r"body\.spec\..*"), True),
        (Known("r", real="^one"), True),
        (Known("r", real="^two"), False),
        (Known("r", tinykube="absent"), True),
        (Known("r", tinykube="one"), False),
    ],
)
def test_a_row(row, explains):
    assert row.explains(FOUND) is explains


def test_every_row_has_a_reason_and_names_something():
    for row in known.table():
        assert len(row.reason) > 20, row
        assert row.path != ".*" or row.real or row.tinykube or row.codes, row
