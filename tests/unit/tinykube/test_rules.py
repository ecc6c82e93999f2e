import pytest

from tinykube import kinds, patch
from tinykube.options import Options
from tinykube.rbac import AUTHENTICATED, SYSTEM, Caller
from tinykube.status import ApiError

NOBODY = Caller("nobody", (AUTHENTICATED,))


def fields(create, resource, body, **options):
    with pytest.raises(ApiError) as caught:
        create(resource, body, **options)
    assert caught.value.code == 422
    return {cause.field for cause in caught.value.causes}


def test_metadata(create):
    meta = {
        "name": "x",
        "labels": {"bad key": "v", "k": "bad value!"},
        "annotations": {"-": ""},
        "ownerReferences": [{"uid": "u"}],
        "finalizers": ["no domain"],
    }
    found = fields(create, kinds.SECRETS, {"metadata": meta})
    assert {"metadata.labels", "metadata.annotations", "metadata.finalizers"} <= found
    assert "metadata.ownerReferences[0].kind" in found
    large = {"name": "x", "annotations": {"a": "v" * 300_000}}
    assert fields(create, kinds.SECRETS, {"metadata": large}) == {"metadata.annotations"}


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("owners", "fault"),
    [
        ([{**OWNER, "uid": ""}], "metadata.ownerReferences[0].uid: Required value: must not be"),
        (
            [{**OWNER, "apiVersion": "a/b/c"}],
            'ownerReferences[0].apiVersion: Invalid value: "a/b/c": must be <group>/<version> or',
        ),
        ([{**OWNER, "kind": "Event"}], "/v1, Kind=Event is disallowed from being an owner"),
        (
            [{**OWNER, "controller": True}, {**OWNER, "uid": "v", "controller": True}],
            'Found "true" in references for Pod/p and Pod/p',
        ),
    ],
)
def test_owners(create, owners, fault):
    with pytest.raises(ApiError) as caught:
        create(kinds.SECRETS, {"metadata": {"name": "x", "ownerReferences": owners}})
    assert fault in caught.value.message


def test_finalizers_that_exclude_each_other(create):
    meta = {"name": "x", "finalizers": ["orphan", "foregroundDeletion"]}
    with pytest.raises(ApiError, match="orphan and foregroundDeletion cannot be both set"):
        create(kinds.SECRETS, {"metadata": meta})


def test_secrets_and_config_maps(create, registry):
    def body(**more):
        return {"metadata": {"name": "x"}, **more}

    assert fields(create, kinds.SECRETS, body(data={"../x": ""})) == {"data[../x]"}
    assert fields(create, kinds.CONFIG_MAPS, body(data={"a": "x" * 2**21})) == {""}
    both = body(data={"a": "b"}, binaryData={"a": "Yg=="})
    assert fields(create, kinds.CONFIG_MAPS, both) == {"data[a]"}
    create(kinds.CONFIG_MAPS, body(data={"a": "b"}, immutable=True))
    for change in ({"data": {"a": "c"}}, {"immutable": False}, {"binaryData": {}}):
        with pytest.raises(ApiError, match="immutable"):
            registry.patch(
                kinds.CONFIG_MAPS, "default", "x", patch.MERGE_PATCH, change, SYSTEM, Options()
            )


def test_empty_bytes_are_not_stored(create, registry, load):
    body = {"metadata": {"name": "x"}, "binaryData": {"a": ""}}
    create(kinds.CONFIG_MAPS, body)
    change = {**body, "binaryData": {}}
    registry.update(kinds.CONFIG_MAPS, "default", "x", change, SYSTEM, Options())
    assert "binaryData" not in load(kinds.CONFIG_MAPS, "x")
    made = create(kinds.CONFIG_MAPS, {"metadata": {"name": "y"}, "binaryData": {}})
    assert "binaryData" not in made
    assert "managedFields" not in made["metadata"]


def test_volumes_and_claims(create):
    body = {"metadata": {"name": "x"}, "spec": {}}
    found = fields(create, kinds.VOLUMES, body)
    assert found == {"spec.accessModes", "spec.capacity[storage]", "spec"}
    found = fields(create, kinds.CLAIMS, body)
    assert found == {"spec.accessModes", "spec.resources[storage]"}
    spec = {
        "accessModes": ["Sometimes"],
        "capacity": {"storage": "0"},
        "hostPath": {"path": "/a/../b"},
        "persistentVolumeReclaimPolicy": "Recycle",
        "volumeMode": "Block",
    }
    found = fields(create, kinds.VOLUMES, {"metadata": {"name": "x"}, "spec": spec})
    assert found == {
        "spec.accessModes",
        "spec.capacity[storage]",
        "spec.hostPath.path",
        "spec.persistentVolumeReclaimPolicy",
        "spec.volumeMode",
    }


def test_what_cannot_be_had_here_is_told_of_what_is_valid(create):
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/a"},
        "nfs": {"server": "x"},
    }
    body = {"metadata": {"name": "x"}, "spec": spec}
    assert fields(create, kinds.VOLUMES, body) == {"spec.nfs"}
    del spec["capacity"]
    assert fields(create, kinds.VOLUMES, body) == {"spec.capacity[storage]"}
    claim = {"volumeMode": "Block", "accessModes": ["ReadWriteOnce"]}
    body = {"metadata": {"name": "x"}, "spec": claim}
    assert fields(create, kinds.CLAIMS, body) == {"spec.resources[storage]"}
    claim["resources"] = {"requests": {"storage": "1Gi"}}
    assert fields(create, kinds.CLAIMS, body) == {"spec.volumeMode"}


def test_a_claim_keeps_its_spec(create, registry):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = create(kinds.CLAIMS, {"metadata": {"name": "x"}, "spec": spec})
    assert made["spec"]["storageClassName"] == "standard"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]

    def change(body):
        kind = patch.MERGE_PATCH
        registry.patch(kinds.CLAIMS, "default", "x", kind, body, SYSTEM, Options())

    change({"spec": {"volumeName": "v"}})
    for body in ({"spec": {"volumeName": "w"}}, {"spec": {"accessModes": ["ReadOnlyMany"]}}):
        with pytest.raises(ApiError, match="spec is immutable"):
            change(body)


def test_a_pod_needs_its_service_account(create, pod):
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, pod(serviceAccountName="absent"))
    assert caught.value.code == 403
    assert 'serviceaccount "absent" not found' in caught.value.message


def test_a_pod_gets_its_token_unless_it_wants_none(create, pod):
    made = create(kinds.PODS, pod())
    assert made["spec"]["volumes"][0]["name"].startswith("kube-api-access-")
    made = create(kinds.PODS, pod("two", automountServiceAccountToken=False))
    assert "volumes" not in made["spec"]
    account = {"metadata": {"name": "shy"}, "automountServiceAccountToken": False}
    create(kinds.SERVICE_ACCOUNTS, account)
    assert "volumes" not in create(kinds.PODS, pod("three", serviceAccountName="shy"))["spec"]


def test_host_paths_are_for_those_who_could_make_a_volume(create, pod):
    body = pod(volumes=[{"name": "v", "hostPath": {"path": "/etc"}}])
    with pytest.raises(ApiError) as caught:
        create(kinds.PODS, body, caller=NOBODY)
    assert caught.value.code == 403
    assert "hostPath" in caught.value.message
    assert create(kinds.PODS, body)


def test_an_event_lies_where_its_object_does(create):
    body = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "other"}}
    assert fields(create, kinds.EVENTS, body) == {"involvedObject.namespace"}


def test_an_events_finalizers_need_no_domain(create):
    body = {
        "metadata": {"name": "e", "finalizers": ["plain"]},
        "involvedObject": {"namespace": "default"},
    }
    assert create(kinds.EVENTS, body)["metadata"]["finalizers"] == ["plain"]
    secret = {"metadata": {"name": "s", "finalizers": ["plain"]}}
    assert fields(create, kinds.SECRETS, secret) == {"metadata.finalizers[0]"}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"apiGroups": [""], "resources": ["pods"]}, "rules[0].verbs"),
        ({"verbs": ["get"], "resources": ["pods"]}, "rules[0].apiGroups"),
        ({"verbs": ["get"], "nonResourceURLs": ["/x"]}, "rules[0].nonResourceURLs"),
    ],
)
def test_roles(create, rule, field):
    assert field in fields(create, kinds.ROLES, {"metadata": {"name": "r"}, "rules": [rule]})


def test_bindings(create, registry):
    def body(**reference):
        return {
            "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "view", **reference},
            "subjects": [{"kind": "Group", "name": "g"}],
        }

    bad = {**body(kind="Pod"), "subjects": [{"kind": "Dog"}]}
    found = fields(create, kinds.ROLE_BINDINGS, bad)
    assert {"roleRef.kind", "subjects[0].kind", "subjects[0].name"} <= found
    homeless = {**body(), "subjects": [{"kind": "ServiceAccount", "name": "a"}]}
    assert fields(create, kinds.CLUSTER_ROLE_BINDINGS, homeless) == {"subjects[0].namespace"}
    made = create(kinds.ROLE_BINDINGS, body())
    assert made["subjects"][0]["apiGroup"] == kinds.RBAC
    change = {"roleRef": {"name": "cluster-admin"}}
    with pytest.raises(ApiError, match=r"roleRef: Invalid value: .*: field is immutable"):
        registry.patch(
            kinds.ROLE_BINDINGS, "default", "b", patch.MERGE_PATCH, change, SYSTEM, Options()
        )


def test_nobody_grants_what_they_do_not_have(create):
    role = {
        "metadata": {"name": "r"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}],
    }
    with pytest.raises(ApiError) as caught:
        create(kinds.ROLES, role, caller=NOBODY)
    assert caught.value.code == 403
    assert "not currently held" in caught.value.message
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "nobody"}],
    }
    with pytest.raises(ApiError, match="not currently held"):
        create(kinds.ROLE_BINDINGS, binding, caller=NOBODY)
