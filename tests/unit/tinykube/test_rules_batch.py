"""Defaults and refusals of Jobs; the words are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.status import ApiError

TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}}
COUNT = {"action": "Count", "onPodConditions": [{"type": "X"}]}
INDEXED = {"completionMode": "Indexed", "completions": 3}


def job(**spec):
    return {"metadata": {"name": "bad"}, "spec": {"template": TEMPLATE, **spec}}


def exits(**codes):
    rule = {"action": "Count", "onExitCodes": {"operator": "In", "values": [1], **codes}}
    return {"podFailurePolicy": {"rules": [rule]}}


def test_an_indexed_jobs_name_makes_names_of_hosts(create):
    body = {**job(**INDEXED), "metadata": {"name": "c.d"}}
    with pytest.raises(ApiError) as caught:
        create(kinds.JOBS, body)
    (cause,) = caught.value.causes
    assert cause.field == "metadata.name"
    assert cause.message == (
        'Invalid value: "c.d": will not able to create pod with invalid DNS label: c.d-2'
    )
    assert create(kinds.JOBS, {**body, "spec": {**job()["spec"], "completions": 3}})


def test_labels_of_a_job_whose_name_is_made(create):
    """One that has a name has all labels of its pods, those by which they are selected too."""
    template = {**TEMPLATE, "metadata": {"labels": {"a": "b"}}}
    body = job(template=template)
    assert create(kinds.JOBS, body)["metadata"]["labels"].keys() > {"a", "job-name"}
    body["metadata"] = {"generateName": "made-"}
    made = create(kinds.JOBS, body)
    assert made["metadata"]["labels"] == {"a": "b"}
    assert "job-name" in made["spec"]["template"]["metadata"]["labels"]
    made = create(kinds.JOBS, {**job(), "metadata": {"generateName": "made-"}})
    assert "job-name" in made["metadata"]["labels"]


def test_defaults(create):
    made = create(kinds.JOBS, job())
    uid = made["metadata"]["uid"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "bad",
        "controller-uid": uid,
        "job-name": "bad",
    }
    assert made["metadata"]["labels"] == labels
    assert made["metadata"]["generation"] == 1
    spec = made["spec"]
    template = spec.pop("template")
    assert spec == {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": False,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
        "suspend": False,
    }
    assert template["metadata"]["labels"] == labels
    assert template["spec"] == {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "containers": [
            {
                "name": "c",
                "image": "b",
                "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "resources": {},
            }
        ],
    }


def test_defaults_that_depend_on_others(create):
    spec = create(kinds.JOBS, job(parallelism=2))["spec"]
    assert "completions" not in spec
    limited = create(
        kinds.JOBS, {**job(**INDEXED, backoffLimitPerIndex=1), "metadata": {"name": "b"}}
    )
    assert limited["spec"]["backoffLimit"] == 2**31 - 1
    policy = create(kinds.JOBS, {**job(**exits()), "metadata": {"name": "c"}})
    assert policy["spec"]["podReplacementPolicy"] == "Failed"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"parallelism": -1},
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"completionMode": "X"},
            'spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", '
            '"Indexed"',
        ),
        (
            {"backoffLimitPerIndex": 1},
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            {**INDEXED, "maxFailedIndexes": 1},
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        ),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ),
        (
            {
                "podReplacementPolicy": "TerminatingOrFailed",
                "podFailurePolicy": {"rules": [COUNT]},
            },
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported '
            'values: "Failed"',
        ),
        (
            {"managedBy": "x"},
            'spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as '
            '"acme.io/foo")',
        ),
        (
            exits(values=[0, 3, 2, 2]),
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be "
            "0 for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values[3]: "
            "Duplicate value: 2, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid "
            "value: [0,3,2,2]: must be ordered",
        ),
        (
            exits(containerName="q"),
            'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "q": must '
            "be one of the container or initContainer names in the pod template",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Count"}]}},
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and "
            "OnPodConditions is required",
        ),
        (
            {"podFailurePolicy": {"rules": [{**COUNT, "action": "FailIndex"}]}},
            'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the '
            "backoffLimitPerIndex to be set",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": []}},
            "spec.successPolicy.rules: Required value: at least one rules must be specified when "
            "the successPolicy is specified",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "1,0"}]}},
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1,0": error parsing '
            "succeededIndexes: non-increasing order, previous: 1, current: 0",
        ),
        (
            {
                **INDEXED,
                "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]},
            },
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or "
            "equal to 2 (the number of indexes in the specified succeededIndexes field)",
        ),
        (
            {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}},
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        (
            {
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "", "image": ""}]}
                }
            },
            "spec.template.spec.containers[0].name: Required value, "
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}},
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match "
            "template `labels`",
        ),
        (
            {
                "podFailurePolicy": {"rules": [COUNT]},
                "template": {
                    "spec": {
                        "restartPolicy": "OnFailure",
                        "containers": [{"name": "c", "image": "b"}],
                    }
                },
            },
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is '
            "supported when podFailurePolicy is specified",
        ),
    ],
)
def test_refusals(create, store, spec, message):
    with pytest.raises(ApiError) as caught:
        create(kinds.JOBS, job(**spec))
    assert caught.value.code == 422
    found = ", ".join(map(str, caught.value.causes))
    assert found == message
    assert list(store.rows(kinds.JOBS.key)) == []


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"parallelism": 4, "backoffLimit": 2, "suspend": True}, ""),
        ({}, {"completions": 2}, "spec.completions: Invalid value: 2: field is immutable"),
        (INDEXED | {"parallelism": 3}, {"completions": 2, "parallelism": 2}, ""),
        (
            INDEXED | {"parallelism": 3},
            {"completions": 2},
            "spec.completions: Invalid value: 2: can only be modified in tandem with "
            "spec.parallelism",
        ),
        (
            INDEXED | {"backoffLimitPerIndex": 1},
            {"backoffLimitPerIndex": 2},
            "spec.backoffLimitPerIndex: Invalid value: 2: field is immutable",
        ),
    ],
)
def test_what_may_change(create, registry, before, after, message):
    made = create(kinds.JOBS, job(**before))
    made["spec"].update(after)

    def change():
        registry.update(kinds.JOBS, "default", "bad", made, SYSTEM, Options())

    if not message:
        change()
        return
    with pytest.raises(ApiError) as caught:
        change()
    assert [str(cause) for cause in caught.value.causes] == [message]
