"""Jobs on a daemon whose node runs their pods, killed in the middle of it."""

from __future__ import annotations

import random
from functools import partial

import pytest
from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod


def job(name, *command, **spec):
    main = Container(name="main", image="busybox", command=list(command))
    template = PodTemplateSpec(spec=PodSpec(restartPolicy="Never", containers=[main]))
    return Job(metadata=ObjectMeta(name=name), spec=JobSpec(template=template, **spec))


def over(client, name):
    found = client.get(Job, name)
    types = [item.type for item in found.status.conditions or [] if item.status == "True"]
    return found if {"Complete", "Failed"} & set(types) else None


def far(client, name, successes):
    """True once a Job has so many successes, or is over."""
    return over(client, name) or (client.get(Job, name).status.succeeded or 0) >= successes


def test_every_index_runs_once_and_knows_its_number(tinykube):
    tinykube.start()
    client = tinykube.client()
    client.create(
        job(
            "each",
            "sh",
            "-c",
            "echo $JOB_COMPLETION_INDEX $(hostname)",
            completions=4,
            parallelism=2,
            completionMode="Indexed",
        )
    )
    done = tinykube.wait(lambda: over(client, "each"))
    assert (done.status.succeeded, done.status.completedIndexes) == (4, "0-3")
    said = sorted("".join(client.log(pod.metadata.name)) for pod in client.list(Pod))
    assert said == [f"{index} each-{index}\n" for index in range(4)]


def test_a_failed_job_says_why(tinykube):
    tinykube.start()
    client = tinykube.client()
    client.create(job("fails", "sh", "-c", "exit 3", backoffLimit=0))
    done = tinykube.wait(lambda: over(client, "fails"))
    assert done.status.failed == 1
    assert done.status.conditions[-1].reason == "BackoffLimitExceeded"


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_lose_no_index_and_run_none_again_after_its_success(tinykube, tmp_path, seed):
    """The daemon is killed at points that the seed chooses, while 8 indexes run 2 at a time."""
    chance = random.Random(seed)
    tinykube.start()
    client = tinykube.client()
    client.create(
        job(
            "tough",
            "sh",
            "-c",
            "sleep 0.2; echo done",
            completions=8,
            parallelism=2,
            completionMode="Indexed",
        )
    )
    for _ in range(4):
        tinykube.wait(partial(far, client, "tough", chance.randrange(-1, 7)))
        tinykube.kill()
        tinykube.start()
        client = tinykube.client()
    done = tinykube.wait(lambda: over(client, "tough"))
    assert done.status.completedIndexes == "0-7"
    assert (done.status.succeeded, done.status.failed) == (8, None)
    pods = list(client.list(Pod))
    indexes = [pod.metadata.labels["batch.kubernetes.io/job-completion-index"] for pod in pods]
    assert sorted(indexes) == [str(index) for index in range(8)]
    assert {pod.status.phase for pod in pods} == {"Succeeded"}
    assert all("".join(client.log(pod.metadata.name)) == "done\n" for pod in pods)
    assert all(not pod.metadata.finalizers for pod in pods)
