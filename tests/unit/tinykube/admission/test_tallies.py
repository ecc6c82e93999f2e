"""What is kept up with each change is what is there when all is counted again."""

from __future__ import annotations

import random

import pytest

from tinykube import kinds, objects
from tinykube.admission.tallies import Tallies
from tinykube.options import Deletion

HARD = {
    "pods": "1000",
    "count/pods": "1000",
    "requests.cpu": "1000",
    "limits.memory": "1000Gi",
    "secrets": "1000",
    "count/jobs.batch": "1000",
    "requests.storage": "1000Gi",
    "services": "1000",
}


@pytest.fixture
def quota(create):
    def make(name="q", namespace="default", hard=HARD, **spec):
        body = {"metadata": {"name": name}, "spec": {"hard": hard, **spec}}
        return create(kinds.QUOTAS, body, namespace)

    return make


def pod(name, cpu="100m", **spec):
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": "1", "memory": "1Gi"}}
    container = {"name": "c", "image": "b", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def bare(name):
    return {"metadata": {"name": name}}


def claim(name, size="1Gi"):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {**bare(name), "spec": spec}


def service(name):
    return {**bare(name), "spec": {"ports": [{"port": 80}]}}


def taken(tallies, quota):
    return {name: amount for name, amount in tallies.of(quota).items() if amount}


def anew(registry, quota):
    return taken(Tallies(registry.store, registry.catalog), quota)


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes(registry, create, quota, seed):
    chance = random.Random(seed)
    spaces = ("default", "kube-public")
    quotas = [quota(namespace=space) for space in spaces]
    quotas += [quota("ends", scopes=["Terminating"], hard={"pods": "1000"})]
    quotas += [quota("few", hard={"secrets": "1000"})]
    there = {}

    def end(obj):
        obj["status"]["phase"] = chance.choice(["Running", "Succeeded", "Failed"])
        return True

    def note(obj):
        obj["metadata"]["labels"] = {"n": str(chance.random())}
        return True

    for number in range(80):
        space = chance.choice(spaces)
        if there and chance.random() < 0.5:
            key = chance.choice(sorted(there))
            resource = there[key]
            if chance.random() < 0.5:
                change = end if resource is kinds.PODS and chance.random() < 0.7 else note
                registry.modify(resource, *key, change)
            else:
                registry.delete(resource, *key, Deletion(grace=0))
                del there[key]
        else:
            name = f"n{number}"
            deadline = chance.choice([{}, {"activeDeadlineSeconds": 60}])
            resource, body = chance.choice(
                [
                    (kinds.PODS, pod(name, chance.choice(["100m", "500m"]), **deadline)),
                    (kinds.SECRETS, bare(name)),
                    (kinds.CONFIG_MAPS, bare(name)),
                    (kinds.CLAIMS, claim(name, chance.choice(["1Gi", "500Mi"]))),
                    (kinds.SERVICES, service(name)),
                ]
            )
            create(resource, body, space)
            there[space, name] = resource
        for each in quotas:
            assert taken(registry.tallies, each) == anew(registry, each)
    assert taken(registry.tallies, quotas[0])


def test_a_full_namespace_is_counted_once(registry, create, quota, monkeypatch):
    quota()
    for number in range(5):
        create(kinds.PODS, pod(f"p{number}"))
    read, rows = [], registry.store.rows

    def counting(resource, *arguments, **options):
        read.append(resource)
        return rows(resource, *arguments, **options)

    monkeypatch.setattr(registry.store, "rows", counting)
    create(kinds.PODS, pod("p5"))
    create(kinds.SECRETS, bare("s"))
    assert kinds.QUOTAS.key in read
    assert kinds.PODS.key not in read
    assert kinds.SECRETS.key not in read


def test_a_changed_quota_is_counted_anew(registry, quota):
    first = quota(hard={"secrets": "5"})
    assert taken(registry.tallies, first) == anew(registry, first)

    def change(obj):
        obj["spec"]["hard"] = {"count/secrets": "5", "configmaps": "5"}
        return True

    registry.modify(kinds.QUOTAS, "default", "q", change)
    second = registry.store.load(kinds.QUOTAS.key, "default", "q")
    assert set(taken(registry.tallies, second)) <= {"count/secrets", "configmaps"}
    assert taken(registry.tallies, second) == anew(registry, second)


def test_a_quota_that_went_leaves_nothing_to_its_successor(registry, create, quota):
    quota(hard={"secrets": "9"})
    create(kinds.SECRETS, bare("a"))
    registry.delete(kinds.QUOTAS, "default", "q", Deletion())
    create(kinds.SECRETS, bare("b"))
    again = quota(hard={"secrets": "9"})
    assert taken(registry.tallies, again) == anew(registry, again)


def test_objects_whose_definition_went_first(registry, create, quota):
    """They can only be counted anew: nothing tells any more what they were."""
    made = quota(hard={"secrets": "9"})
    create(kinds.SECRETS, bare("a"))
    before = taken(registry.tallies, made)
    stray = objects.copy(bare("w")) | {
        "metadata": {"name": "w", "namespace": "default", "uid": "u"}
    }
    with registry.store.write() as transaction:
        transaction.insert("widgets.example.com", stray)
    assert taken(registry.tallies, made) == before == anew(registry, made)
