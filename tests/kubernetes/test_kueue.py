"""Jobs in a queue are admitted as its quota allows, one after the other."""

from __future__ import annotations

from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import (
    Container,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
    Toleration,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job

from .cluster import kueue
from .cluster.fakes import ENDS_AFTER


def job(name, namespace, queue, gpus):
    main = Container(
        name="main",
        image="busybox",
        resources=ResourceRequirements(
            requests={"cpu": "1"}, limits={"nvidia.com/gpu": str(gpus)}
        ),
    )
    return Job(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={kueue.LABEL: queue}),
        spec=JobSpec(
            suspend=True,
            template=PodTemplateSpec(
                metadata=ObjectMeta(annotations={ENDS_AFTER: "1500ms"}),
                spec=PodSpec(
                    restartPolicy="Never",
                    containers=[main],
                    tolerations=[Toleration(key="nvidia.com/gpu", operator="Exists")],
                ),
            ),
        ),
    )


def test_two_that_do_not_fit_together_run_one_after_the_other(client, namespace, queues, wait):
    queues("four-gpus", namespace, {"cpu": "10", "nvidia.com/gpu": "4"})
    for name in ("first", "second"):
        client.create(job(name, namespace, "four-gpus", 3))
    seen = []

    def done():
        jobs = {item.metadata.name: item for item in client.list(Job, namespace=namespace)}
        active = sorted(name for name, item in jobs.items() if item.status.active)
        if active and active not in seen:
            seen.append(active)
        return all(item.status.succeeded for item in jobs.values()) and jobs

    jobs = wait(done, 60)
    assert sorted(seen) == [["first"], ["second"]]
    one, other = sorted(jobs.values(), key=lambda item: item.status.startTime)
    assert one.status.completionTime <= other.status.startTime


def test_one_that_asks_for_more_than_the_quota_waits(client, namespace, queues, wait):
    queues("two-gpus", namespace, {"cpu": "10", "nvidia.com/gpu": "2"})
    client.create(job("big", namespace, "two-gpus", 3))

    def told():
        for item in client.list(kueue.Workload, namespace=namespace):
            for condition in (item.status or {}).get("conditions", []):
                if condition["type"] == "QuotaReserved" and condition["status"] == "False":
                    return condition["message"]
        return None

    assert "insufficient quota for nvidia.com/gpu" in wait(told)
    assert client.get(Job, "big", namespace=namespace).spec.suspend is True
