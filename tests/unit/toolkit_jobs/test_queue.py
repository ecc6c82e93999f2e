"""Jobs of Kueue: what is made, and what is read from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from toolkit_jobs import GpuMode, GpuOptions, PodOptions, PodPhase, PodRequest, PodStatus
from toolkit_jobs import queue as queues
from toolkit_jobs.manifests import manifests
from toolkit_jobs.pod import QUEUE, manifest

OPTIONS = PodOptions("ml", {"app": "x"}, queue="ml-queue")
POD = PodRequest("p", "image", ("run",), labels={"run": "r"}, annotations={"a": "b"})


def test_a_job_is_suspended_and_runs_its_pod_once() -> None:
    found = queues.job(POD, OPTIONS)
    pod = manifest(POD, OPTIONS)
    assert found["metadata"]["labels"] == {"run": "r", "app": "x", QUEUE: "ml-queue"}
    spec = found["spec"]
    assert spec["suspend"] is True
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["template"]["spec"] == pod["spec"]
    assert spec["template"]["metadata"] == {
        "labels": {"run": "r", "app": "x"},
        "annotations": {"a": "b"},
    }


def test_a_queue_of_its_own_is_the_jobs_alone() -> None:
    own = dataclasses.replace(POD, labels={QUEUE: "mine", "kueue.x-k8s.io/priority-class": "high"})
    found = queues.job(own, OPTIONS)
    assert found["metadata"]["labels"][QUEUE] == "mine"
    assert found["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"
    assert QUEUE not in found["spec"]["template"]["metadata"]["labels"]


def test_the_objects_of_a_request() -> None:
    (plain,) = manifests(POD, dataclasses.replace(OPTIONS, queue=""))
    assert plain == manifest(POD, dataclasses.replace(OPTIONS, queue=""))
    devices = GpuOptions(GpuMode.DRA, count=1, device_class="c")
    template, made = manifests(POD, dataclasses.replace(OPTIONS, gpus=devices))
    assert (template["kind"], made["kind"]) == ("ResourceClaimTemplate", "Job")
    assert template["metadata"]["namespace"] == "ml"


def job(suspend: bool = True, **status: Any) -> dict[str, Any]:
    metadata = {"name": "p", "uid": "u", "labels": {QUEUE: "ml"}, "annotations": {"a": "b"}}
    return {"metadata": metadata, "spec": {"suspend": suspend}, "status": status}


def condition(kind: str, status: str = "True", **fields: str) -> dict[str, str]:
    return {"type": kind, "status": status, **fields}


@pytest.mark.parametrize(
    ("found", "phase", "reason", "message"),
    [
        (job(), PodPhase.PENDING, "Queued", "waits for its turn in the queue ml"),
        (job(suspend=False), PodPhase.PENDING, "", ""),
        (
            job(conditions=[condition("Suspended")]),
            PodPhase.PENDING,
            "Queued",
            "waits for its turn in the queue ml",
        ),
        (
            job(
                suspend=False,
                conditions=[
                    condition("Failed", reason="BackoffLimitExceeded", message="its limit")
                ],
            ),
            PodPhase.FAILED,
            "BackoffLimitExceeded",
            "its limit",
        ),
        (
            job(suspend=False, conditions=[condition("Failed", "False")]),
            PodPhase.PENDING,
            "",
            "",
        ),
        (job(suspend=False, conditions=[condition("Complete")]), PodPhase.SUCCEEDED, "", ""),
    ],
)
def test_a_job_without_a_pod_speaks_for_it(
    found: dict[str, Any], phase: PodPhase, reason: str, message: str
) -> None:
    assert queues.read(found) == PodStatus("p", phase, {QUEUE: "ml"}, {"a": "b"}, reason, message)


def test_why_it_waits_is_kueues_word() -> None:
    assert queues.read(job(), "insufficient quota").message == "insufficient quota"


def workload(uid: str, *conditions: dict[str, str]) -> dict[str, Any]:
    owners = [{"kind": "Job", "uid": uid}]
    return {"metadata": {"ownerReferences": owners}, "status": {"conditions": list(conditions)}}


def test_reasons() -> None:
    quota = condition("QuotaReserved", "False", message="1 more nvidia.com/gpu needed")
    reserved = condition("QuotaReserved", "True", message="Quota reserved")
    checks = condition("Admitted", "False", message="waits for a check")
    found = queues.reasons(
        [
            workload("a", quota),
            workload("b", reserved, checks),
            workload("c", reserved, condition("Admitted")),
            workload("d"),
            {"metadata": {}, "status": {"conditions": [quota]}},
        ]
    )
    assert found == {"a": "1 more nvidia.com/gpu needed", "b": "waits for a check"}
