import pytest

from tinykube import kinds
from tinykube.verbs import reference


def test_an_object_comes_into_the_namespace_of_the_path(refused):
    for meta in ({}, {"namespace": ""}, {"namespace": "here"}):
        reference.place(kinds.SECRETS, "here", {"metadata": meta})
        assert meta == {"namespace": "here"}
    meta = {"namespace": "here"}
    reference.place(kinds.NODES, "", {"metadata": meta})
    assert meta == {}
    other = {"metadata": {"namespace": "there"}}
    assert refused(reference.place, kinds.SECRETS, "here", other).code == 400


def test_an_object_has_the_name_of_the_path(refused):
    reference.check_name({"metadata": {"name": "s"}}, "s")
    error = refused(reference.check_name, {"metadata": {}}, "s")
    assert (error.code, "undeterminable" in error.message) == (400, True)
    error = refused(reference.check_name, {"metadata": {"name": "t"}}, "s")
    assert (error.code, "(t) does not match" in error.message) == (400, True)


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", True), ("0", False), ("", False), ("x", False), ("٣", False), ("9" * 99, True)],
)
def test_what_is_the_number_of_a_version(text, number):
    assert reference.is_version(text) is number


def test_a_version_is_a_number_if_it_is_given(refused):
    for meta in ({}, {"resourceVersion": ""}, {"resourceVersion": "0"}):
        reference.check_version(meta)
    error = refused(reference.check_version, {"resourceVersion": "x"})
    assert (error.code, error.message) == (400, "metadata.resourceVersion: 'x' is no version")


def test_another_object_of_the_name_is_not_the_one_that_was_meant():
    error = reference.unmet(kinds.SECRETS, "s", "u" * 99, "v")
    assert (error.code, error.reason) == (409, "Conflict")
    assert f"UID in precondition: {'u' * 64}, UID in object meta: v" in error.message
