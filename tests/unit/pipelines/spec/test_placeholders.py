"""Placeholders in values: whole ones keep their type, others become text."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_pipelines.spec import placeholders

GIVEN: dict[str, Any] = {"n": 3, "s": "text", "m": {"a": 1}, "pipelinechannel--a-Output": [1, 2]}
CONSTANTS = {".pipeline_job_uuid": "id"}


def p(name: str) -> str:
    return f"{{{{$.inputs.parameters['{name}']}}}}"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("plain", "plain"),
        (p("n"), 3),
        (p("m"), {"a": 1}),
        (f"{p('n')}/{p('s')}", "3/text"),
        (f"<{p('m')}>", '<{"a": 1}>'),
        (p("pipelinechannel--a-Output"), [1, 2]),
        (p("absent"), None),
        ("{{$.pipeline_job_uuid}}-x", "id-x"),
        ({"k": [p("n"), {p("s"): 1}]}, {"k": [3, {"text": 1}]}),
        ("{{$.outputs.output_file}}", "{{$.outputs.output_file}}"),
        ("{{$}}", "{{$}}"),
        (7, 7),
    ],
)
def test_fill(value: Any, found: Any) -> None:
    assert placeholders.fill(value, GIVEN, CONSTANTS) == found


def test_what_a_value_holds_is_not_resolved_again() -> None:
    given = {"evil": p("secret"), "secret": "x"}
    assert placeholders.fill(p("evil"), given, {}) == p("secret")
