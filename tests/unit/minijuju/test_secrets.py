"""Names and contents of secrets, and when one is to be rotated."""

import datetime

import pytest

from minijuju import secrets
from minijuju.secrets import SecretError


@pytest.mark.parametrize(
    "text",
    [
        "9m4e2mr0ui3e8a215n4g",
        "secret:9m4e2mr0ui3e8a215n4g",
        "secret://8419cd78-4993-4c3a-928e-c646226beeee/9m4e2mr0ui3e8a215n4g",
    ],
)
def test_ids(text):
    assert secrets.parse_id(text) == "9m4e2mr0ui3e8a215n4g"


@pytest.mark.parametrize(
    "text", ["", "secret:", "secret:../../etc", "9m4e2mr0ui3e8a215n4G", "x\0"]
)
def test_what_is_no_id(text):
    with pytest.raises(SecretError, match="not valid"):
        secrets.parse_id(text)


def test_contents():
    secrets.check_content({"abc": "x", "a-1b": ""})
    for wrong in (
        {},
        {"ab": "x"},
        {"1ab": "x"},
        {"a_b": "x"},
        {"a-1": "x"},
        {"abc": "x" * (1 << 21)},
    ):
        with pytest.raises(SecretError) as caught:
            secrets.check_content(wrong)
        assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "last", "next_"),
    [
        ("hourly", "2026-01-31T23:30:00", "2026-02-01T00:30:00"),
        ("daily", "2026-02-28T12:00:00", "2026-03-01T12:00:00"),
        ("weekly", "2026-02-24T12:00:00", "2026-03-03T12:00:00"),
        ("monthly", "2026-11-15T12:00:00", "2026-12-15T12:00:00"),
        ("monthly", "2026-01-31T12:00:00", "2026-03-03T12:00:00"),
        ("quarterly", "2026-11-30T12:00:00", "2027-03-02T12:00:00"),
        ("yearly", "2028-02-29T12:00:00", "2029-03-01T12:00:00"),
    ],
)
def test_rotation_goes_by_the_calendar(policy, last, next_):
    def moment(text):
        return datetime.datetime.fromisoformat(text + "+00:00").timestamp()

    assert secrets.next_rotation(policy, moment(last)) == moment(next_)


@pytest.mark.parametrize("policy", ["never", ""])
def test_some_secrets_are_never_rotated(policy):
    assert secrets.next_rotation(policy, 1.0) is None
