"""Init containers as the message `InitContainer` has them; the SDK has no function for it yet."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_jobs import InitContainer
from toolkit_pipelines.spec import SpecError, initcontainers


def read(*containers: Any) -> tuple[InitContainer, ...]:
    return initcontainers.read(list(containers), "initContainers")


def test_all_that_the_message_has() -> None:
    assert read(
        {
            "name": "fetch",
            "image": "alpine",
            "command": ["sh", "-c"],
            "args": ["date > /out/when"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "volumeMounts": [{"volumeName": "scratch", "mountPath": "/out/"}],
            "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}},
        },
        {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"},
    ) == (
        InitContainer(
            "fetch",
            "alpine",
            ("sh", "-c"),
            ("date > /out/when",),
            {"TZ": "UTC"},
            {"/out": "scratch"},
            {"cpu": "500m"},
            {"memory": "1Gi"},
        ),
        InitContainer("proxy", "proxy:1", sidecar=True),
    )
    assert initcontainers.read(None, "initContainers") == ()


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("name", "", "a value is required"),
        ("name", "Fetch", "not the name of a container"),
        ("name", "main", "none of main, kfp-launcher"),
        ("name", "kfp-launcher", "none of main, kfp-launcher"),
        ("image", "", "a value is required"),
        ("image", "{{$.inputs.parameters['i']}}", "placeholders are not filled in"),
        ("args", ["{{$.pipeline_job_uuid}}"], "placeholders are not filled in"),
        ("command", "sh", "expected a list"),
        ("env", [{"name": "A=", "value": ""}], "not the name of an environment variable"),
        ("env", [{"name": "A"}, {"name": "A"}], "set twice"),
        ("restartPolicy", "OnFailure", "it is Always, for a sidecar"),
        ("volumeMounts", [{"mountPath": "/a"}], "a value is required"),
        ("volumeMounts", [{"volumeName": "v", "mountPath": "/"}], "not an absolute path"),
        ("volumeMounts", [{"volumeName": "v", "mountPath": "/a/../b"}], "not an absolute path"),
        ("volumeMounts", [{"volumeName": "v", "mountPath": "/a"}] * 2, "two volumes"),
        ("resources", {"requests": {"cpu": "many"}}, "no quantity"),
        ("privileged", True, "unknown field 'privileged'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(field: str, value: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        read({"name": "fetch", "image": "alpine", field: value})
    assert caught.value.where.startswith("initContainers[0]")


def test_two_have_two_names() -> None:
    container = {"name": "fetch", "image": "alpine"}
    with pytest.raises(SpecError, match="two containers 'fetch'"):
        read(container, container)
