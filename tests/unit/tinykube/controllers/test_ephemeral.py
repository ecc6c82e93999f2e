"""Claims of ephemeral volumes: made for their pod, gone with it, and nobody else's."""

import json

import pytest

from tinykube import kinds
from tinykube.controllers.ephemeral import EphemeralVolumes
from tinykube.options import Deletion
from tinykube.status import ApiError


@pytest.fixture
def loop(registry):
    made = EphemeralVolumes(registry)
    made.load()
    return made


def template(**spec):
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        **spec,
    }
    return {"metadata": {"labels": {"a": "b"}}, "spec": wanted}


def pod(name="p", wanted=None):
    volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": wanted or template()}}
    mount = {"name": "scratch", "mountPath": "/scratch"}
    container = {"name": "main", "image": "busybox", "volumeMounts": [mount]}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": [volume]}}


def events(store):
    return [json.loads(row.data)["message"] for row in store.rows(kinds.EVENTS.key)]


def test_a_pod_gets_a_claim_of_its_own(create, loop, load):
    create(kinds.PODS, pod())
    loop.step()
    claim = load(kinds.CLAIMS, "p-scratch")
    assert claim["metadata"]["labels"] == {"a": "b"}
    assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    (owner,) = claim["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "uid": load(kinds.PODS, "p")["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert loop.pause() is None


def test_one_that_was_made_before_a_restart_is_its_own(create, loop, load, registry):
    create(kinds.PODS, pod())
    loop.step()
    uid = load(kinds.CLAIMS, "p-scratch")["metadata"]["uid"]
    again = EphemeralVolumes(registry)
    again.load()
    again.step()
    assert load(kinds.CLAIMS, "p-scratch")["metadata"]["uid"] == uid
    assert again.pause() is None


def test_somebody_elses_claim_is_not_taken(create, loop, store, load):
    create(kinds.CLAIMS, {"metadata": {"name": "p-scratch"}, "spec": template()["spec"]})
    create(kinds.PODS, pod())
    loop.step()
    assert events(store) == [
        "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
    ]
    assert loop.pause() is not None
    assert "ownerReferences" not in load(kinds.CLAIMS, "p-scratch")["metadata"]


def test_what_a_quota_refuses_is_tried_again(create, loop, store, registry, load):
    quota = {
        "metadata": {"name": "q"},
        "spec": {"hard": {"persistentvolumeclaims": "0"}},
    }
    create(kinds.QUOTAS, quota)
    create(kinds.PODS, pod())
    loop.step()
    assert "exceeded quota" in events(store)[0]
    assert loop.pause() is not None
    registry.delete(kinds.QUOTAS, "default", "q", Deletion())
    loop.step()
    assert load(kinds.CLAIMS, "p-scratch")
    assert loop.pause() is None


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (template(accessModes=[]), "spec.accessModes"),
        (template(resources={}), "spec.resources[storage]"),
        (template(volumeMode="Block"), "spec.volumeMode"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(create, wanted, field):
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, pod(wanted=wanted))
    (cause,) = caught.value.causes
    assert cause.field == f"spec.volumes[0].ephemeral.volumeClaimTemplate.{field}"


def test_a_name_that_no_claim_can_have_is_refused(create):
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, pod("p" * 250))
    assert [each.field for each in caught.value.causes] == ["spec.volumes[0].name"]
