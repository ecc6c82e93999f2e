"""Two answers agree where they may differ, and nowhere else."""

import pytest

from .normal import Normal, differences, listed, settled

UID = "12345678-1234-1234-1234-1234567890ab"
OTHER = "87654321-1234-1234-1234-1234567890ab"


def made(uid=UID, version="17", **metadata):
    return {
        "metadata": {
            "name": "a",
            "uid": uid,
            "resourceVersion": version,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            **metadata,
        }
    }


def test_values_of_their_own_are_the_same():
    one, other = Normal(), Normal()
    assert one(made()) == other(made(OTHER, "4711", creationTimestamp="2027-01-02T03:04:05Z"))


def test_a_version_that_changed_is_told_from_one_that_did_not():
    one, other = Normal(), Normal()
    left = [one(made(version="1")), one(made(version="2"))]
    right = [other(made(version="7")), other(made(version="7"))]
    assert differences(left, right) == [
        ("[1].metadata.resourceVersion", "<version 2>", "<version 1>")
    ]


@pytest.mark.parametrize("time", ["yesterday", "", None, "2026-01-02"])
def test_what_is_no_time_stays(time):
    found = Normal()(made(creationTimestamp=time))
    assert found["metadata"]["creationTimestamp"] == time


def test_a_uid_within_words():
    normal = Normal()
    normal(made())
    assert normal({"message": f"UID in precondition: {UID}, not {OTHER}"}) == {
        "message": "UID in precondition: <uid 1>, not <uid 2>"
    }


def test_a_version_that_a_refusal_tells_of():
    normal = Normal()
    normal(made(version="17"))
    words = (
        "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record"
    )
    assert normal({"message": f"{words} (17)."}) == {"message": f"{words} (<version 1>)."}


def test_the_faults_of_an_applied_patch_have_no_order():
    def told(*lines):
        return {
            "message": "failed to create typed patch object (/a): errors:\n" + "\n".join(lines)
        }

    assert Normal()(told("  .a: x", "  .b: y")) == Normal()(told("  .b: y", "  .a: x"))
    assert Normal()(told("  .a: x")) != Normal()(told("  .b: y"))


def test_a_generated_name_keeps_its_number():
    found = Normal()({"name": "d1-made-by-server-03-x7k2p"})
    assert found == {"name": "d1-made-by-server-03-<random>"}


def test_the_version_of_a_list_is_the_whole_servers():
    one, other = Normal(), Normal()
    left = one(listed({"metadata": {"resourceVersion": "5"}, "items": [made()]}))
    right = other(listed({"metadata": {"resourceVersion": "900"}, "items": [made(OTHER, "8")]}))
    assert left == right
    assert left["items"][0]["metadata"]["resourceVersion"] == "<version 1>"


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 1}, {"a": 1.0}, [("a", 1, 1.0)]),
        ({"a": {}}, {}, [("a", {}, ...)]),
        ({"a": [1]}, {"a": []}, [("a", [1], [])]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [("a[0].b", 1, 2)]),
        ({"a": None}, {}, [("a", None, ...)]),
    ],
)
def test_differences(left, right, found):
    assert differences(left, right) == found


def test_the_order_of_causes_has_no_meaning():
    def refused(*fields):
        causes = [{"field": field, "message": "wrong", "reason": "r"} for field in fields]
        details = {"name": "a", "causes": causes}
        return {"kind": "Status", "reason": "Invalid", "message": str(fields), "details": details}

    assert settled(refused("b", "a")) == settled(refused("a", "b"))
    assert settled(refused("b")) != settled(refused("a"))


def test_another_error_keeps_its_words():
    body = {"kind": "Status", "reason": "NotFound", "message": "gone", "details": {"name": "a"}}
    assert settled(body) == body
