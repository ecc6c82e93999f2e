"""What a pod asks for and what the operator's defaults add to it."""

from __future__ import annotations

import pytest

from toolkit_jobs import Resources

DEFAULTS = Resources("100m", "128Mi", "", "1Gi")


@pytest.mark.parametrize(
    ("own", "found"),
    [
        (
            Resources(),
            {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            Resources(memory_limit="64Mi"),
            {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        ),
        (
            Resources("2", "4Gi"),
            {"requests": {"cpu": "2", "memory": "4Gi"}},
        ),
    ],
)
def test_defaults_never_contradict_the_request(own: Resources, found: object) -> None:
    assert own.over(DEFAULTS).manifest() == found
