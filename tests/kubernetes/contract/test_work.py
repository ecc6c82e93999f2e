"""Pods and Jobs on a node that runs them."""

import pytest
from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import (
    Container,
    LimitRangeItem,
    LimitRangeSpec,
    PodSpec,
    PodTemplateSpec,
    ResourceQuotaSpec,
    ResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, LimitRange, Pod, ResourceQuota

from .conftest import HERE


def spec(script, **fields):
    main = Container(name="main", image="busybox", command=["sh", "-c", script])
    return PodSpec(
        restartPolicy="Never",
        terminationGracePeriodSeconds=1,
        nodeSelector=HERE,
        containers=[main],
        **fields,
    )


@pytest.fixture
def run(client, namespace):
    def create(script, name="p", **fields):
        meta = ObjectMeta(name=name, namespace=namespace)
        return client.create(Pod(metadata=meta, spec=spec(script, **fields)))

    return create


@pytest.fixture
def phase(client, namespace, wait):
    def reached(*phases):
        def there():
            found = client.get(Pod, "p", namespace=namespace)
            return found if found.status.phase in phases else None

        return wait(there, 60)

    return reached


@pytest.mark.parametrize(
    ("script", "ended", "code"),
    [("echo one; echo two", "Succeeded", 0), ("echo one; echo two; exit 3", "Failed", 3)],
)
def test_a_pod_runs_to_its_end(client, namespace, run, phase, wait, script, ended, code):
    run(script)
    found = phase("Succeeded", "Failed")
    assert found.status.phase == ended
    assert found.status.containerStatuses[0].state.terminated.exitCode == code
    assert list(client.log("p", namespace=namespace)) == ["one\n", "two\n"]

    def reasons():
        told = {item.reason for item in client.list(Event, namespace=namespace)}
        return {"Scheduled", "Started"} <= told

    wait(reasons)


def test_a_pod_that_is_deleted_ends(client, namespace, run, phase, wait, refused):
    run("sleep 600")
    phase("Running")
    client.delete(Pod, "p", namespace=namespace)

    def gone():
        return "p" not in {item.metadata.name for item in client.list(Pod, namespace=namespace)}

    wait(gone, 60)
    assert refused(client.delete, Pod, "p", namespace=namespace).code == 404


def test_a_pod_that_fits_nowhere_says_why(client, namespace, wait):
    body = spec("true")
    body.containers[0].resources = ResourceRequirements(limits={"example.com/none": "1"})
    client.create(Pod(metadata=ObjectMeta(name="p", namespace=namespace), spec=body))

    def told():
        found = client.get(Pod, "p", namespace=namespace)
        for item in found.status.conditions or []:
            if (item.type, item.status, item.reason) == ("PodScheduled", "False", "Unschedulable"):
                return item.message
        return None

    assert "Insufficient example.com/none" in wait(told)


def job(name, namespace, script, **fields):
    template = PodTemplateSpec(spec=spec(script))
    return Job(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=JobSpec(template=template, **fields),
    )


@pytest.fixture
def ended(client, namespace, wait):
    def get(name):
        def done():
            found = client.get(Job, name, namespace=namespace)
            kinds = {one.type: one.reason for one in found.status.conditions or []}
            return (found, kinds) if {"Complete", "Failed"} & kinds.keys() else None

        return wait(done, 60)

    return get


def test_a_job_completes(client, namespace, ended):
    client.create(job("j", namespace, "true", completions=2, parallelism=2))
    found, conditions = ended("j")
    assert "Complete" in conditions
    assert found.status.succeeded == 2
    pods = list(client.list(Pod, namespace=namespace, labels={"job-name": "j"}))
    assert len(pods) == 2
    assert {pod.metadata.ownerReferences[0].uid for pod in pods} == {found.metadata.uid}


def test_a_job_fails_at_its_limit(client, namespace, ended):
    client.create(job("j", namespace, "exit 1", backoffLimit=0))
    found, conditions = ended("j")
    assert conditions["Failed"] == "BackoffLimitExceeded"
    assert found.status.failed == 1


def test_an_indexed_job_numbers_its_pods(client, namespace, ended):
    client.create(
        job(
            "j",
            namespace,
            'test "$JOB_COMPLETION_INDEX" -lt 2',
            completions=2,
            parallelism=2,
            completionMode="Indexed",
        )
    )
    found, conditions = ended("j")
    assert "Complete" in conditions
    assert found.status.completedIndexes == "0,1"


def test_a_suspended_job_waits(client, namespace, wait, ended):
    client.create(job("j", namespace, "true", suspend=True))

    def suspended():
        found = client.get(Job, "j", namespace=namespace)
        return any(
            one.type == "Suspended" and one.status == "True"
            for one in found.status.conditions or []
        )

    wait(suspended)
    assert not list(client.list(Pod, namespace=namespace))
    client.patch(Job, "j", {"spec": {"suspend": False}}, namespace=namespace)
    assert "Complete" in ended("j")[1]


def test_a_quota_counts_and_refuses(client, namespace, wait, run, refused):
    meta = ObjectMeta(name="q", namespace=namespace)
    client.create(ResourceQuota(metadata=meta, spec=ResourceQuotaSpec(hard={"pods": "1"})))

    def used():
        status = client.get(ResourceQuota, "q", namespace=namespace).status
        return (status.used or {}).get("pods") if status else None

    wait(lambda: used() == "0")
    run("sleep 600")
    wait(lambda: used() == "1")
    status = refused(run, "true", "second")
    assert status.code == 403
    assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in status.message


def test_a_limit_range_gives_defaults(client, namespace, run):
    item = LimitRangeItem(
        type="Container", default={"memory": "128Mi"}, defaultRequest={"memory": "64Mi"}
    )
    meta = ObjectMeta(name="l", namespace=namespace)
    client.create(LimitRange(metadata=meta, spec=LimitRangeSpec(limits=[item])))
    made = run("true")
    resources = made.spec.containers[0].resources
    assert (resources.limits, resources.requests) == ({"memory": "128Mi"}, {"memory": "64Mi"})
