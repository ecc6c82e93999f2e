"""What is recorded is compared with what a Kubernetes 1.37.2 API server recorded."""

import json

import pytest

from tinykube import kinds, patch
from tinykube.fieldsets import managers
from tinykube.options import Options
from tinykube.rbac import SYSTEM

UPDATE = {"operation": "Update", "fieldsType": "FieldsV1", "apiVersion": "v1"}


@pytest.fixture
def change(registry):
    def run(resource, name, body, manager, subresource="", kind=patch.MERGE_PATCH):
        written = registry.patch(
            resource,
            "default" if resource.namespaced else "",
            name,
            kind,
            body,
            SYSTEM,
            Options(manager=manager),
            subresource=subresource,
        )
        return entries(json.loads(written.data))

    return run


def entries(obj):
    found = obj["metadata"].get("managedFields", [])
    assert all(item["fieldsType"] == "FieldsV1" for item in found)
    return {
        (item["manager"], item["operation"], item.get("subresource", "")): item["fieldsV1"]
        for item in found
    }


META = {"labels": {"l": "m"}, "annotations": {"x": "y"}, "finalizers": ["a.b/c"]}
META_FIELDS = {
    "f:annotations": {".": {}, "f:x": {}},
    "f:finalizers": {".": {}, 'v:"a.b/c"': {}},
    "f:labels": {".": {}, "f:l": {}},
}


def test_each_write_is_recorded(create, change):
    body = {"metadata": {"name": "m", **META}, "data": {"a": "1", "b": "2"}}
    made = create(kinds.CONFIG_MAPS, body, manager="kubectl")
    kubectl, you = ("kubectl", "Update", ""), ("you", "Update", "")
    data = {".": {}, "f:a": {}, "f:b": {}}
    assert entries(made) == {kubectl: {"f:data": data, "f:metadata": META_FIELDS}}
    assert {**made["metadata"]["managedFields"][0], "fieldsV1": {}, "time": ""} == {
        **UPDATE,
        "manager": "kubectl",
        "fieldsV1": {},
        "time": "",
    }
    taken = change(kinds.CONFIG_MAPS, "m", {"data": {"a": "9"}}, "you")
    assert taken == {
        kubectl: {"f:data": {".": {}, "f:b": {}}, "f:metadata": META_FIELDS},
        you: {"f:data": {"f:a": {}}},
    }
    less = change(kinds.CONFIG_MAPS, "m", {"data": {"b": None}}, "kubectl")
    assert less[kubectl] == {"f:data": {}, "f:metadata": META_FIELDS}
    none = change(kinds.CONFIG_MAPS, "m", {"data": None}, "kubectl")
    assert none == {kubectl: {"f:metadata": META_FIELDS}}


def test_a_write_that_changes_nothing_is_not_recorded(create, change):
    create(kinds.CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}}, manager="me")
    assert set(change(kinds.CONFIG_MAPS, "m", {"data": {"a": "1"}}, "you")) == {
        ("me", "Update", "")
    }


def test_entries_can_be_reset_and_stay_so_until_an_apply(create, change):
    create(kinds.CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}}, manager="me")
    reset = {"metadata": {"managedFields": [{}]}}
    assert change(kinds.CONFIG_MAPS, "m", reset, "you") == {}
    assert change(kinds.CONFIG_MAPS, "m", {"data": {"b": "2"}}, "you") == {}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m"},
        "data": {"c": "3"},
    }
    applied = change(kinds.CONFIG_MAPS, "m", config, "op", kind=patch.APPLY_PATCH)
    assert applied == {
        ("op", "Apply", ""): {"f:data": {"f:c": {}}},
        ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
    }


def test_a_new_pod_is_its_makers_less_what_admission_fills_in(create, change, pod):
    made = create(kinds.PODS, pod(), manager="kubectl")
    container = {
        ".": {},
        "f:command": {},
        "f:image": {},
        "f:imagePullPolicy": {},
        "f:name": {},
        "f:resources": {},
        "f:terminationMessagePath": {},
        "f:terminationMessagePolicy": {},
    }
    spec = {
        "f:containers": {'k:{"name":"main"}': container},
        "f:dnsPolicy": {},
        "f:enableServiceLinks": {},
        "f:restartPolicy": {},
        "f:schedulerName": {},
        "f:securityContext": {},
        "f:terminationGracePeriodSeconds": {},
    }
    assert entries(made) == {("kubectl", "Update", ""): {"f:spec": spec}}
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    after = change(kinds.PODS, "one", status, "kubelet", "status")
    # Its moments are shown even where nobody set them.
    moments = {"f:lastProbeTime": {}, "f:lastTransitionTime": {}}
    ready = {'k:{"type":"Ready"}': {".": {}, "f:type": {}, "f:status": {}, **moments}}
    assert after[("kubelet", "Update", "status")] == {
        "f:status": {"f:conditions": {".": {}, **ready}}
    }


def test_admitted_fields_that_the_maker_gave_are_its_own(create, pod):
    made = create(kinds.PODS, pod(tolerations=[{"operator": "Exists"}]), manager="me")
    assert "f:tolerations" in entries(made)[("me", "Update", "")]["f:spec"]


@pytest.mark.parametrize("name", ["serviceAccount", "serviceAccountName"])
def test_who_gives_an_account_owns_both_its_names(create, pod, name):
    made = create(kinds.PODS, pod(**{name: "default"}), manager="me")
    owned = entries(made)[("me", "Update", "")]["f:spec"]
    assert {"f:serviceAccount", "f:serviceAccountName"} <= owned.keys()


def test_the_control_planes_own_changes_are_recorded(create, registry, load, pod):
    create(kinds.PODS, pod(), manager="me")

    def run(current):
        current["status"]["phase"] = "Running"
        return True

    registry.modify(kinds.PODS, "default", "one", run)
    assert entries(load(kinds.PODS, "one"))[("tinykube", "Update", "status")] == {
        "f:status": {"f:phase": {}}
    }


def test_a_custom_resource_has_no_structure_before_it_is_written():
    new = {"apiVersion": "g/v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"a": 1}}
    managers.created(new, kinds.PODS.shape, "xs.g", "me", custom=True)
    assert entries(new)[("me", "Update", "")] == {"f:spec": {".": {}, "f:a": {}}}


def test_many_managers_are_joined(create, change):
    create(kinds.CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"x": "y"}}, manager="first")
    for number in range(30):
        found = change(kinds.CONFIG_MAPS, "m", {"data": {f"k{number}": "v"}}, f"m{number:02}")
    assert len(found) == 10
    owned = [path for fields in found.values() for path in fields["f:data"] if path != "."]
    assert sorted(owned) == sorted(["f:x", *(f"f:k{number}" for number in range(30))])
    assert "f:x" in found[("ancient-changes", "Update", "")]["f:data"]


def test_entries_that_a_client_sends_are_kept_if_they_are_good():
    before = [{"manager": "a"}]
    good = [{**UPDATE, "manager": "b", "fieldsV1": {"f:data": {}}}]
    assert managers.given({}, before) == before
    assert managers.given({"managedFields": good}, before) == good
    assert managers.given({"managedFields": [{"manager": "b"}]}, before) == before
    assert managers.given({"managedFields": []}, before) == []
