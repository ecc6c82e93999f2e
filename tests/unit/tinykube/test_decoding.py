"""Bodies of built-in kinds; those of custom resources are tested in crd/test_resources."""

import pytest

from tinykube import decoding, kinds
from tinykube.options import Options

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}


def test_what_a_body_leaves_out_goes_by_the_path():
    found, findings = decoding.decode(kinds.SECRETS, {"type": "Opaque"}, Options())
    assert found == {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "type": "Opaque"}
    assert not findings.unknown
    assert decoding.decode(kinds.SECRETS, None, Options())[0]["metadata"] == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the body must be an object of kind Secret"),
        ({"kind": 1}, "json parse error: kind: expected a string"),
        ({"kind": "Pod"}, 'no kind "Pod" is registered for version "v1"'),
        ({"apiVersion": "x/v2"}, 'Secret in version "v2" cannot be handled as a Secret'),
        ({"metadata": "x"}, "metadata: expected an object, found a string"),
    ],
)
def test_what_is_none_of_the_kind(refused, body, words):
    error = refused(decoding.decode, kinds.SECRETS, body, Options())
    assert (error.code, error.reason) == (400, "BadRequest")
    assert words in error.message


def test_unknown_fields_are_told_refused_or_ignored(refused):
    body = {**SECRET, "odd": 1}
    for validation, warnings in (("Warn", ['unknown field "odd"']), ("Ignore", [])):
        options = Options(validation=validation)
        found, findings = decoding.decode(kinds.SECRETS, body, options)
        assert (found, findings.unknown, options.warnings) == (SECRET, ["odd"], warnings)
    error = refused(decoding.decode, kinds.SECRETS, body, Options(validation="Strict"))
    assert 'strict decoding error: unknown field "odd"' in error.message


def test_an_apply_says_what_it_is_of(refused):
    decoding.check_kind(kinds.SECRETS, SECRET)
    error = refused(decoding.check_kind, kinds.SECRETS, {"metadata": {"name": "s"}})
    assert (error.code, error.message) == (400, "invalid object type: /, Kind=")


@pytest.mark.parametrize(
    ("patched", "expected"),
    [
        ({"kind": "Secret"}, True),
        ({"apiVersion": "", "kind": None}, True),
        (SECRET, False),
        ({"kind": "Pod"}, False),
        ([], False),
    ],
)
def test_what_a_patch_took_the_version_from(patched, expected):
    assert decoding.unversioned(kinds.SECRETS, patched) is expected
