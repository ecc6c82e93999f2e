import pytest

from tinykube import status


def test_an_invalid_object_lists_its_causes():
    causes = [status.required("spec.a"), status.wrong("spec.b", "x", "must be y")]
    body = status.invalid("Pod", "", "p", causes).status()
    assert body["code"] == 422
    assert body["message"] == (
        'Pod "p" is invalid: [spec.a: Required value, spec.b: Invalid value: "x": must be y]'
    )
    assert body["details"]["causes"][0] == {
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "spec.a",
    }


def test_one_cause_stands_alone():
    error = status.invalid("Role", "rbac.x", "r", [status.duplicate("a", 1)])
    assert error.message == 'Role.rbac.x "r" is invalid: a: Duplicate value: 1'


@pytest.mark.parametrize("value", ["x" * 10_000, "\x1b[31mred\n", '"'])
def test_values_are_shown_short_and_harmless(value):
    message = status.wrong("f", value, "no").message
    assert len(message) < 400
    assert message.isprintable()
    assert message.isascii()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ünï", '"ünï"'),
        ("a\nb\tc", '"a\\nb\\tc"'),
        ("\x1b\x7f", '"\\x1b\\x7f"'),
        ("\u00a0\U000e0001", '"\\u00a0\\U000e0001"'),
        ("a\\b", '"a\\\\b"'),
        (["ü", "<&>"], '["ü","\\u003c\\u0026\\u003e"]'),
        (None, "null"),
        (1.5, "1.5"),
    ],
)
def test_values_are_shown_as_go_does(value, shown):
    assert status.duplicate("f", value).message == f"Duplicate value: {shown}"


def test_a_retry_is_told():
    error = status.ApiError(429, "TooManyRequests", "later", retry_after=3)
    assert error.status()["details"] == {"retryAfterSeconds": 3}
