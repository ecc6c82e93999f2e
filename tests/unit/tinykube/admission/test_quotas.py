"""The words are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds, objects
from tinykube.controllers.quotas import QuotaController
from tinykube.options import Deletion
from tinykube.status import ApiError


@pytest.fixture
def quota(create):
    def make(name="rq", hard=None, **spec):
        return create(kinds.QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})

    return make


@pytest.fixture
def used(registry, load):
    loop = QuotaController(registry)
    loop.load()

    def read(name="rq"):
        while loop.step():
            pass
        return load(kinds.QUOTAS, name)["status"]["used"]

    return read


def body(name, requests=None, limits=None, **spec):
    resources = {"requests": requests or {}, "limits": limits or {}}
    container = {"name": "c", "image": "b", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def refused(create, resource, obj):
    with pytest.raises(ApiError) as caught:
        create(resource, obj)
    assert caught.value.code == 403
    return caught.value.message


def secret(name):
    return {"metadata": {"name": name}}


def test_too_much(create, quota):
    quota(hard={"requests.cpu": "1", "cpu": "1", "limits.memory": "1Gi", "pods": "2"})
    assert refused(create, kinds.PODS, body("p0")) == (
        'pods "p0" is forbidden: failed quota: rq: must specify cpu for: c; limits.memory for: '
        "c; requests.cpu for: c"
    )
    assert refused(create, kinds.PODS, body("p1", {"cpu": "2"}, {"memory": "2Gi"})) == (
        'pods "p1" is forbidden: exceeded quota: rq, requested: '
        "cpu=2,limits.memory=2Gi,requests.cpu=2, used: cpu=0,limits.memory=0,requests.cpu=0, "
        "limited: cpu=1,limits.memory=1Gi,requests.cpu=1"
    )
    create(kinds.PODS, body("p3", {"cpu": "500m"}, {"memory": "10Mi"}))
    assert refused(create, kinds.PODS, body("p4", {"cpu": "600m"}, {"memory": "10Mi"})) == (
        'pods "p4" is forbidden: exceeded quota: rq, requested: cpu=600m,requests.cpu=600m, '
        "used: cpu=500m,requests.cpu=500m, limited: cpu=1,requests.cpu=1"
    )


def test_gpus(create, quota, used):
    quota(hard={"requests.nvidia.com/gpu": "4"})
    create(kinds.PODS, body("p1", limits={"nvidia.com/gpu": "3"}))
    assert used() == {"requests.nvidia.com/gpu": "3"}
    assert refused(create, kinds.PODS, body("p2", limits={"nvidia.com/gpu": "2"})) == (
        'pods "p2" is forbidden: exceeded quota: rq, requested: requests.nvidia.com/gpu=2, used: '
        "requests.nvidia.com/gpu=3, limited: requests.nvidia.com/gpu=4"
    )


def test_what_has_ended_takes_nothing(create, registry, quota, used):
    quota(hard={"pods": "1", "count/pods": "2", "requests.memory": "1Gi"})
    made = create(kinds.PODS, body("p1", {"memory": "512Mi"}))
    assert used() == {"pods": "1", "count/pods": "1", "requests.memory": "512Mi"}

    def end(pod):
        pod["status"]["phase"] = "Succeeded"
        return True

    registry.modify(kinds.PODS, "default", "p1", end, uid=objects.uid(made))
    assert used() == {"pods": "0", "count/pods": "1", "requests.memory": "0"}
    create(kinds.PODS, body("p2", {"memory": "1Gi"}))
    assert "exceeded quota" in refused(create, kinds.PODS, body("p3", {"memory": "1Gi"}))


def test_counts(create, quota, used, registry):
    quota(hard={"secrets": "2", "count/jobs.batch": "0", "persistentvolumeclaims": "5"})
    for name in ("a", "b"):
        create(kinds.SECRETS, secret(name))
    assert refused(create, kinds.SECRETS, secret("c")) == (
        'secrets "c" is forbidden: exceeded quota: rq, requested: secrets=1, used: secrets=2, '
        "limited: secrets=2"
    )
    inner = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}
    job = {"metadata": {"name": "j"}, "spec": {"template": {"spec": inner}}}
    assert refused(create, kinds.JOBS, job) == (
        'jobs.batch "j" is forbidden: exceeded quota: rq, requested: count/jobs.batch=1, used: '
        "count/jobs.batch=0, limited: count/jobs.batch=0"
    )
    registry.delete(kinds.SECRETS, "default", "a", Deletion())
    assert used() == {"secrets": "1", "count/jobs.batch": "0", "persistentvolumeclaims": "0"}


def test_storage(create, quota, used):
    quota(
        hard={
            "requests.storage": "3Gi",
            "standard.storageclass.storage.k8s.io/requests.storage": "1Gi",
        }
    )

    def claim(name, size, **spec):
        resources = {"requests": {"storage": size}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}
        return {"metadata": {"name": name}, "spec": spec}

    create(kinds.CLAIMS, claim("a", "1Gi"))
    create(kinds.CLAIMS, claim("b", "1Gi", storageClassName="other"))
    assert "standard.storageclass" in refused(create, kinds.CLAIMS, claim("c", "1Gi"))
    assert used() == {
        "requests.storage": "2Gi",
        "standard.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ({"scopes": ["BestEffort"]}, {}, {"requests": {"cpu": "1"}}),
        ({"scopes": ["NotBestEffort"]}, {"requests": {"cpu": "1"}}, {}),
        ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 9}, {}),
        ({"scopes": ["NotTerminating"]}, {}, {"activeDeadlineSeconds": 9}),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
                    ]
                }
            },
            {"priorityClassName": "high"},
            {},
        ),
    ],
)
def test_scopes(create, quota, scope, inside, outside):
    create(kinds.PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1})
    quota(hard={"pods": "0"}, **scope)
    create(kinds.PODS, body("out", **outside))
    assert "exceeded quota: rq" in refused(create, kinds.PODS, body("in", **inside))
    # Scopes are of pods: other things are not counted by such a quota.
    create(kinds.SECRETS, secret("s"))


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        (
            {"hard": {"pods": "-1"}},
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            {"hard": {"nope": "1"}},
            [
                'spec.hard[nope]: Invalid value: "nope": must be a standard resource type or '
                "fully qualified",
                'spec.hard[nope]: Invalid value: "nope": must be a standard resource for quota',
            ],
        ),
        (
            {"hard": {"pods": "1.5"}},
            ['spec.hard[pods]: Invalid value: "1500m": must be an integer'],
        ),
        (
            {"hard": {}, "scopes": ["X"]},
            ['spec.scopes: Invalid value: ["X"]: unsupported scope'],
        ),
        (
            {"hard": {}, "scopes": ["Terminating", "NotTerminating"]},
            ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'],
        ),
        (
            {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
        ),
    ],
)
def test_refused_quotas(create, spec, faults):
    with pytest.raises(ApiError) as caught:
        create(kinds.QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
    assert [str(cause) for cause in caught.value.causes] == faults


def test_other_namespaces_are_not_limited(create, quota):
    quota(hard={"secrets": "0"})
    create(kinds.NAMESPACES, {"metadata": {"name": "free"}})
    create(kinds.SECRETS, secret("s"), namespace="free")
