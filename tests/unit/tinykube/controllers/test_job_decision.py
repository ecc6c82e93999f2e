"""The decision by table: a Job, its pods, a time, and what is to be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tinykube.controllers.jobs.decision import decide, expiry
from tinykube.controllers.jobs.pods import PodView

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T12:00:00Z"


_REPLACEMENT = {True: "Failed", False: "TerminatingOrFailed"}


def job(status=None, restart="Never", **spec):
    limited = "backoffLimitPerIndex" in spec
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default", "uid": "u"},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "completionMode": "NonIndexed",
            "backoffLimit": 2**31 - 1 if limited else 6,
            "podReplacementPolicy": "Failed"
            if "podFailurePolicy" in spec
            else "TerminatingOrFailed",
            "template": {"spec": {"restartPolicy": restart}},
            **spec,
        },
        "status": status or {},
    }


def indexed(completions, parallelism=None, **spec):
    return job(
        completionMode="Indexed",
        completions=completions,
        parallelism=parallelism or completions,
        **spec,
    )


def pod(name, phase="Running", ago=None, code=None, **fields):
    status = {}
    if phase == "Failed":
        ended = {
            "name": "main",
            "state": {"terminated": {"exitCode": 1 if code is None else code}},
        }
        status = {"containerStatuses": [ended], "conditions": fields.pop("conditions", [])}
    return PodView(
        uid=name,
        namespace="default",
        name=name,
        phase=phase,
        bound=fields.pop("bound", True),
        finished=None if ago is None else NOW - timedelta(seconds=ago),
        status=status,
        **fields,
    )


def conditions(decision):
    return [
        (item["type"], item["status"], item["reason"])
        for item in decision.status.get("conditions", [])
    ]


def names(pods):
    return [item.name for item in pods]


def test_a_new_job_gets_its_pods():
    made = decide(job(parallelism=3, completions=5), [], NOW)
    assert len(made.create) == 3
    assert made.status == {
        "startTime": STAMP,
        "active": 3,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }


def test_indexes_get_a_pod_each_the_lowest_first():
    pods = [pod("a", index=1)]
    made = decide(indexed(4, 3, status={"completedIndexes": "0"}), pods, NOW)
    assert [new.index for new in made.create] == [2, 3]


def test_a_success_is_counted_once_and_completes():
    first = decide(job(), [pod("a", "Succeeded", ago=0)], NOW)
    assert names(first.release) == ["a"]
    assert first.status["succeeded"] == 1
    assert first.status["completionTime"] == STAMP
    assert conditions(first) == [
        ("SuccessCriteriaMet", "True", "CompletionsReached"),
        ("Complete", "True", "CompletionsReached"),
    ]
    assert [(note.reason, note.message) for note in first.notes] == [
        ("Completed", "Job completed")
    ]
    counted = job(status={"succeeded": 1}, completions=2)
    second = decide(counted, [pod("a", "Succeeded", ago=0, tracked=False)], NOW)
    assert second.status["succeeded"] == 1
    assert len(second.create) == 1


def test_without_completions_the_first_success_is_the_last_start():
    pods = [pod("a", "Succeeded", ago=0), pod("b")]
    made = decide(job(parallelism=2, completions=None), pods, NOW)
    assert (made.create, made.withdraw) == ([], [])
    assert conditions(made) == []
    made = decide(
        job(parallelism=2, completions=None, status={"succeeded": 1}),
        [pod("b", "Succeeded", ago=0)],
        NOW,
    )
    assert conditions(made)[-1] == ("Complete", "True", "CompletionsReached")


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (30, 600)]
)
def test_failures_are_tried_again_later_and_later(failures, seconds):
    pods = [pod(f"p{number}", "Failed", ago=number, tracked=False) for number in range(failures)]
    made = decide(job(backoffLimit=100, status={"failed": failures}), pods, NOW)
    assert made.create == []
    assert made.again == NOW + timedelta(seconds=seconds)
    late = decide(
        job(backoffLimit=100, status={"failed": failures}), pods, NOW + timedelta(seconds=seconds)
    )
    assert len(late.create) == 1


def test_a_success_ends_the_back_off():
    pods = [
        pod("a", "Failed", ago=5, tracked=False),
        pod("b", "Succeeded", ago=3, tracked=False),
    ]
    made = decide(job(completions=2, status={"failed": 1, "succeeded": 1}), pods, NOW)
    assert len(made.create) == 1


def test_too_many_failures_end_the_rest_first():
    pods = [pod("a", "Failed", ago=0), pod("b", ready=True), pod("c")]
    made = decide(job(completions=3, parallelism=3, backoffLimit=0), pods, NOW)
    assert names(made.delete) == ["b", "c"]
    assert names(made.release) == ["a", "b", "c"]
    assert conditions(made) == [("FailureTarget", "True", "BackoffLimitExceeded")]
    # As the real controller counts: what is ended with the Job has failed with it.
    assert made.status["failed"] == 3
    assert made.status["terminating"] == 2
    assert "active" not in made.status
    waiting = job(status=made.status, backoffLimit=0)
    pods = [pod("b", terminating=True, tracked=False)]
    assert conditions(decide(waiting, pods, NOW))[-1][0] == "FailureTarget"
    done = decide(waiting, [], NOW)
    assert conditions(done)[-1] == ("Failed", "True", "BackoffLimitExceeded")
    assert [(note.type, note.reason) for note in done.notes] == [
        ("Warning", "BackoffLimitExceeded")
    ]
    assert done.status["failed"] == 3


@pytest.mark.parametrize(
    ("restarts", "limit", "ends"), [(0, 0, False), (1, 0, True), (2, 3, False), (3, 3, True)]
)
def test_restarts_in_place_count_too(restarts, limit, ends):
    made = decide(job(restart="OnFailure", backoffLimit=limit), [pod("a", restarts=restarts)], NOW)
    assert bool(made.delete) is ends


def test_a_deadline():
    begun = {"startTime": "2026-01-01T11:59:00Z"}
    early = decide(job(activeDeadlineSeconds=61, status=begun), [pod("a")], NOW)
    assert early.again == NOW + timedelta(seconds=1)
    late = decide(job(activeDeadlineSeconds=60, status=begun), [pod("a")], NOW)
    assert conditions(late) == [("FailureTarget", "True", "DeadlineExceeded")]
    assert names(late.delete) == ["a"]


def test_suspend_and_resume():
    held = decide(job(suspend=True, status={"startTime": STAMP}), [pod("a")], NOW)
    assert names(held.withdraw) == ["a"]
    assert held.release == []
    assert "failed" not in held.status
    assert "startTime" not in held.status
    assert conditions(held) == [("Suspended", "True", "JobSuspended")]
    assert [note.reason for note in held.notes] == ["Suspended"]
    later = decide(job(suspend=False, status=held.status), [], NOW + timedelta(minutes=1))
    assert len(later.create) == 1
    assert later.status["startTime"] == "2026-01-01T12:01:00Z"
    assert conditions(later) == [("Suspended", "False", "JobResumed")]
    assert [note.message for note in later.notes] == ["Job resumed"]


def test_less_parallelism_withdraws_those_that_have_come_least_far():
    pods = [
        pod("ready", ready=True),
        pod("unbound", "Pending", bound=False),
        pod("pending", "Pending"),
    ]
    made = decide(job(parallelism=1, completions=9), pods, NOW)
    assert names(made.withdraw) == ["unbound", "pending"]
    assert made.status["active"] == 1


def test_a_second_pod_of_an_index_is_withdrawn():
    pods = [pod("a", index=0, created="1"), pod("b", index=0, created="2"), pod("c", index=7)]
    made = decide(indexed(2), pods, NOW)
    assert len(made.withdraw) == 2
    assert "c" in names(made.withdraw)


def test_a_deleted_pod_has_failed_at_once_or_when_it_has_ended():
    gone = [pod("a", terminating=True, ago=60)]
    made = decide(job(), gone, NOW)
    assert (made.status["failed"], names(made.release), len(made.create)) == (1, ["a"], 1)
    made = decide(job(podReplacementPolicy="Failed"), gone, NOW)
    assert (made.status.get("failed"), made.release, made.create) == (None, [], [])
    assert made.status["terminating"] == 1


def test_a_pod_without_a_node_that_is_deleted_is_not_waited_for():
    gone = [pod("a", "Pending", bound=False, terminating=True, ago=60)]
    made = decide(job(podReplacementPolicy="Failed"), gone, NOW)
    assert names(made.release) == ["a"]


def policy(*rules):
    return {"rules": list(rules)}


def on_exit(action, *codes, operator="In", **more):
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes), **more}}


@pytest.mark.parametrize(
    ("rule", "code", "action"),
    [
        (on_exit("FailJob", 42), 42, "FailJob"),
        (on_exit("FailJob", 42), 41, ""),
        (on_exit("FailJob", 42, operator="NotIn"), 41, "FailJob"),
        (on_exit("FailJob", 42, containerName="other"), 42, ""),
        (on_exit("Ignore", 42, containerName="main"), 42, "Ignore"),
    ],
)
def test_exit_codes_decide(rule, code, action):
    made = decide(job(podFailurePolicy=policy(rule)), [pod("a", "Failed", ago=60, code=code)], NOW)
    match action:
        case "FailJob":
            condition = made.status["conditions"][0]
            assert (condition["type"], condition["reason"]) == (
                "FailureTarget",
                "PodFailurePolicy",
            )
            assert condition["message"] == (
                f"Container main for pod default/a failed with exit code {code} matching FailJob "
                "rule at index 0"
            )
        case "Ignore":
            assert "failed" not in made.status
            assert names(made.release) == ["a"]
        case _:
            assert made.status["failed"] == 1


def test_conditions_decide():
    rule = {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    hit = [{"type": "DisruptionTarget", "status": "True"}]
    made = decide(
        job(podFailurePolicy=policy(rule)), [pod("a", "Failed", ago=60, conditions=hit)], NOW
    )
    assert "failed" not in made.status
    assert len(made.create) == 1


def test_each_index_has_failures_of_its_own():
    spec = {"backoffLimitPerIndex": 1}
    begun = decide(indexed(2, **spec), [], NOW)
    assert [(new.index, new.failures) for new in begun.create] == [(0, 0), (1, 0)]
    pods = [pod("a", "Failed", index=0, ago=5), pod("b", index=1)]
    waits = decide(indexed(2, **spec), pods, NOW)
    assert (waits.create, waits.again) == ([], NOW + timedelta(seconds=5))
    # Kept until its successor knows how often the index has failed.
    assert waits.release == []
    again = decide(indexed(2, **spec), pods, NOW + timedelta(seconds=5))
    assert [(new.index, new.failures) for new in again.create] == [(0, 1)]
    assert names(again.release) == ["a"]
    assert again.status["failed"] == 1
    pods = [pod("c", "Failed", index=0, ago=5, failures=1), pod("b", index=1)]
    lost = decide(indexed(2, **spec), pods, NOW)
    assert (lost.status["failedIndexes"], lost.create) == ("0", [])
    assert conditions(lost) == []
    pods = [pod("b", "Succeeded", index=1, ago=0)]
    over = decide(indexed(2, **spec, status={"failedIndexes": "0", "failed": 2}), pods, NOW)
    assert conditions(over)[-1] == ("Failed", "True", "FailedIndexes")
    assert over.status["completedIndexes"] == "1"


def test_an_index_may_be_given_up_by_policy():
    spec = {
        "backoffLimitPerIndex": 5,
        "maxFailedIndexes": 0,
        "podFailurePolicy": policy(on_exit("FailIndex", 3)),
    }
    pods = [pod("a", "Failed", index=0, ago=5, code=3), pod("b", index=1)]
    made = decide(indexed(2, **spec), pods, NOW)
    assert conditions(made) == [("FailureTarget", "True", "MaxFailedIndexesExceeded")]


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"succeededIndexes": "0"}, True),
        ({"succeededIndexes": "0,2"}, False),
        ({"succeededIndexes": "0,2", "succeededCount": 1}, True),
        ({"succeededCount": 1}, True),
        ({"succeededCount": 2}, False),
    ],
)
def test_a_success_policy(rule, met):
    pods = [pod("a", "Succeeded", index=0, ago=0), pod("b", index=1), pod("c", index=2)]
    made = decide(indexed(3, successPolicy=policy(rule)), pods, NOW)
    assert (conditions(made) == [("SuccessCriteriaMet", "True", "SuccessPolicy")]) is met
    assert bool(made.delete) is met
    if met:
        # Those that are ended have not failed.
        assert "failed" not in made.status
        assert made.status["conditions"][0]["message"] == "Matched rules at index 0"


def test_a_job_that_is_deleted_makes_no_pods_but_counts():
    leaving = job(completions=3)
    leaving["metadata"]["deletionTimestamp"] = STAMP
    made = decide(leaving, [pod("a", "Succeeded", ago=0)], NOW)
    assert (made.create, names(made.release), made.status["succeeded"]) == ([], ["a"], 1)


def test_expiry():
    complete = {
        "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": STAMP}]
    }
    assert expiry(job(status=complete, ttlSecondsAfterFinished=5)) == NOW + timedelta(seconds=5)
    assert expiry(job(status=complete)) is None
    assert expiry(job(ttlSecondsAfterFinished=5)) is None
