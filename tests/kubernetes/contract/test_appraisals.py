"""What a dry run tells of a pod: Kubernetes gives what it takes, tinykube says what it cannot."""

from __future__ import annotations

import pytest

from toolkit_jobs import (
    Appraisal,
    Connection,
    EmptyMount,
    FieldPath,
    Jobs,
    PodOptions,
    PodRequest,
    Resources,
)

OPTIONS = PodOptions("default", {"app": "appraised"})


@pytest.fixture
async def jobs(server):
    made = Jobs(Connection.from_kubeconfig(server), OPTIONS)
    async with made:
        # Or the watch may be cut off while it connects, and leave a socket to the collector.
        await made.pods()
        yield made


def pod(**fields):
    return PodRequest("appraised", "example.com/image:1", ("true",), **fields)


async def test_a_plain_pod_has_all_that_it_asks_for(jobs):
    assert await jobs.appraise(pod()) == Appraisal()


async def test_what_changes_nothing_is_told_where_it_changes_nothing(request, jobs):
    asked = pod(
        pull_secrets=("key",),
        pull_policy="Always",
        resources=Resources(cpu_limit="1"),
        mounts=(EmptyMount("/scratch", size="1Gi"),),
    )
    found = await jobs.appraise(asked)
    assert found is not None
    assert not found.invalid
    fields = [each.partition(":")[0] for each in found.ineffective]
    here = "[tinykube]" in request.node.name
    assert fields == (
        [
            "spec.imagePullSecrets",
            "spec.containers[0].imagePullPolicy",
            "spec.containers[0].resources.limits[cpu]",
            "spec.volumes[0].emptyDir.sizeLimit",
        ]
        if here
        else []
    )


async def test_what_is_never_taken_is_told_on_both(jobs):
    found = await jobs.appraise(pod(env={"A": FieldPath("spec.volumes")}))
    assert found is not None
    assert "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath" in found.invalid
    assert "Invalid value" in found.invalid
