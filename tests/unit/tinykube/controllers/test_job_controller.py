"""The controller on a store, with pods whose ends the test writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tinykube import kinds, objects
from tinykube.controllers.garbage import Collector
from tinykube.controllers.jobs.controller import JobController
from tinykube.controllers.jobs.pods import FINALIZER
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError


def body(name="j", template=None, **spec):
    container = {"name": "main", "image": "python:3.11", "command": ["true"]}
    inner = {"restartPolicy": "Never", "containers": [container], **(template or {})}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": inner}, **spec}}


class World:
    """The controllers, and what pods do."""

    def __init__(self, registry) -> None:
        self.registry, self.store = registry, registry.store
        self.now = datetime.now(UTC)
        self.jobs = JobController(registry, lambda: self.now)
        self.garbage = Collector(registry)
        for loop in (self.jobs, self.garbage):
            loop.load()

    def settle(self):
        for _ in range(20):
            self.jobs.step()
            self.garbage.step()

    def later(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.settle()

    def pods(self):
        return [json.loads(row.data) for row in self.store.rows(kinds.PODS.key)]

    def end(self, pod, phase="Succeeded"):
        def change(current):
            current["status"]["phase"] = phase
            return True

        assert self.registry.modify(
            kinds.PODS, "default", objects.name(pod), change, uid=objects.uid(pod)
        )

    def events(self):
        rows = self.store.rows(kinds.EVENTS.key)
        return [
            (item["reason"], item["message"]) for item in map(json.loads, (r.data for r in rows))
        ]


@pytest.fixture
def world(registry):
    return World(registry)


def test_a_job_from_its_creation_to_its_end(create, load, world):
    create(kinds.JOBS, body(completions=2))
    world.settle()
    (pod,) = world.pods()
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    assert pod["metadata"]["labels"]["job-name"] == "j"
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("Job", True, True)
    assert load(kinds.JOBS, "j")["status"]["active"] == 1
    world.end(pod)
    world.settle()
    (other,) = [item for item in world.pods() if item["status"]["phase"] == "Pending"]
    world.end(other)
    world.settle()
    status = load(kinds.JOBS, "j")["status"]
    assert status["succeeded"] == 2
    assert status["conditions"][-1]["type"] == "Complete"
    assert all("finalizers" not in item["metadata"] for item in world.pods())
    reasons = [reason for reason, _ in world.events()]
    assert sorted(reasons) == ["Completed", "SuccessfulCreate", "SuccessfulCreate"]


def test_an_index_reaches_the_container(create, world):
    create(kinds.JOBS, body(name="x" * 60, completions=2, completionMode="Indexed", parallelism=2))
    world.settle()
    first, second = sorted(world.pods(), key=objects.name)
    assert objects.name(first).startswith("x" * 55 + "-0-")
    assert second["spec"]["hostname"] == "x" * 60 + "-1"
    (variable,) = second["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert second["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"


def test_a_new_controller_counts_nothing_twice(create, registry, load, world):
    create(kinds.JOBS, body(completions=3))
    world.settle()
    world.end(world.pods()[0])
    world.settle()
    again = World(registry)
    again.settle()
    assert load(kinds.JOBS, "j")["status"]["succeeded"] == 1
    assert len(world.pods()) == 2


def test_a_pod_that_is_deleted_after_its_success_still_counts(create, registry, load, world):
    create(kinds.JOBS, body())
    world.settle()
    (pod,) = world.pods()
    world.end(pod)
    registry.delete(kinds.PODS, "default", objects.name(pod), Deletion())
    assert world.pods()
    world.settle()
    assert world.pods() == []
    assert load(kinds.JOBS, "j")["status"]["succeeded"] == 1


def test_a_failed_pod_is_replaced_after_the_back_off(create, load, world):
    create(kinds.JOBS, body())
    world.settle()
    world.end(world.pods()[0], "Failed")
    world.settle()
    assert len(world.pods()) == 1
    assert 0 < world.jobs.pause() <= 11
    world.later(11)
    assert len(world.pods()) == 2
    assert load(kinds.JOBS, "j")["status"]["failed"] == 1


def test_the_time_to_live(create, load, world):
    create(kinds.JOBS, body(ttlSecondsAfterFinished=60))
    world.settle()
    world.end(world.pods()[0])
    world.settle()
    world.later(30)
    assert load(kinds.JOBS, "j")
    world.later(31)
    assert load(kinds.JOBS, "j") is None
    assert world.pods() == []


def test_without_a_policy_the_pods_stay(create, registry, load, world):
    create(kinds.JOBS, body())
    world.settle()
    registry.delete(kinds.JOBS, "default", "j", Deletion())
    world.settle()
    assert load(kinds.JOBS, "j") is None
    (pod,) = world.pods()
    assert "ownerReferences" not in pod["metadata"]
    assert "finalizers" not in pod["metadata"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_deleted_job_takes_its_pods_along(create, registry, load, world, policy):
    create(kinds.JOBS, body(parallelism=3, completions=3))
    world.settle()
    registry.delete(kinds.JOBS, "default", "j", Deletion(propagation=policy))
    world.settle()
    assert load(kinds.JOBS, "j") is None
    assert world.pods() == []


def test_pods_that_are_refused_are_told_and_tried_again(create, load, world):
    create(kinds.JOBS, body(template={"serviceAccountName": "later"}))
    world.settle()
    assert "active" not in load(kinds.JOBS, "j")["status"]
    (event,) = world.events()
    assert event[0] == "FailedCreate"
    assert 'serviceaccount "later" not found' in event[1]
    create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": "later"}})
    world.later(2)
    assert len(world.pods()) == 1


def test_another_manager_is_left_alone(create, load, world):
    create(kinds.JOBS, body(managedBy="kueue.x-k8s.io/multikueue"))
    world.settle()
    assert world.pods() == []
    assert load(kinds.JOBS, "j")["status"] == {}


def test_suspended_jobs_take_scheduling_directives(create, registry, load, world):
    create(kinds.JOBS, body(suspend=True))
    world.settle()
    change = load(kinds.JOBS, "j")
    change["spec"]["suspend"] = False
    change["spec"]["template"]["spec"]["nodeSelector"] = {"gpu": "yes"}
    registry.update(kinds.JOBS, "default", "j", change, SYSTEM, Options())
    world.settle()
    (pod,) = world.pods()
    assert pod["spec"]["nodeSelector"] == {"gpu": "yes"}
    change = load(kinds.JOBS, "j")
    change["spec"]["template"]["spec"]["nodeSelector"] = {}
    with pytest.raises(ApiError, match=r"spec.template: Invalid value: .*: field is immutable"):
        registry.update(kinds.JOBS, "default", "j", change, SYSTEM, Options())


def test_a_job_waits_for_its_quota(create, load, world):
    create(kinds.QUOTAS, {"metadata": {"name": "rq"}, "spec": {"hard": {"pods": "1"}}})
    create(kinds.JOBS, body(parallelism=2, completions=2))
    world.settle()
    assert load(kinds.JOBS, "j")["status"]["active"] == 1
    assert any("exceeded quota: rq" in message for _, message in world.events())
    world.end(world.pods()[0])
    world.later(2)
    assert load(kinds.JOBS, "j")["status"]["active"] == 1
    assert load(kinds.JOBS, "j")["status"]["succeeded"] == 1
