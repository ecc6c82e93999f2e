import json

import pytest

from tinykube import kinds, patch
from tinykube.rbac import SYSTEM
from tinykube.registry import Deletion, Options


def secret(name="s", **fields):
    return {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields}


def put(registry, body, resource=kinds.SECRETS, **options):
    return registry.update(
        resource, "default", body["metadata"]["name"], body, SYSTEM, Options(), **options
    )


def change(registry, name, body, kind=patch.MERGE_PATCH, resource=kinds.SECRETS, **options):
    flags = {key: options.pop(key) for key in ("manager", "force") if key in options}
    return json.loads(
        registry.patch(
            resource, "default", name, kind, body, SYSTEM, Options(**flags), **options
        ).data
    )


def test_a_created_object_is_complete(create):
    made = create(kinds.SECRETS, secret(stringData={"a": "b"}))
    meta = made["metadata"]
    assert made["data"] == {"a": "Yg=="}
    assert made["type"] == "Opaque"
    assert meta["namespace"] == "default"
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 0


def test_all_faults_of_an_object_without_a_name_are_told(create, refused):
    error = refused(create, kinds.SECRETS, {"data": {"a/b": ""}, "type": "kubernetes.io/tls"})
    assert [cause.field for cause in error.causes] == [
        "metadata.name",
        "data[a/b]",
        "data[tls.crt]",
        "data[tls.key]",
    ]


def test_a_role_without_rules_shows_that(create):
    assert create(kinds.ROLES, {"metadata": {"name": "r"}})["rules"] is None
    made = create(kinds.ROLES, {"metadata": {"name": "s"}, "rules": []})
    assert made["rules"] is None
    # Whoever wrote that there are none owns that.
    assert [item["fieldsV1"] for item in made["metadata"]["managedFields"]] == [{"f:rules": {}}]


def test_a_client_cannot_choose_what_the_system_writes(create):
    made = create(
        kinds.SECRETS,
        secret(
            metadata={
                "uid": "mine",
                "creationTimestamp": "2001-01-01T00:00:00Z",
                "deletionTimestamp": "2001-01-01T00:00:00Z",
                "generation": 7,
            }
        ),
    )
    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2001")
    assert "deletionTimestamp" not in made["metadata"]


def test_generated_names_differ(create):
    body = {"metadata": {"generateName": "run-"}}
    first, second = (create(kinds.SECRETS, body)["metadata"]["name"] for _ in range(2))
    assert first != second
    assert first.startswith("run-")


def test_create_refuses(create, refused):
    create(kinds.SECRETS, secret())
    error = refused(create, kinds.SECRETS, secret())
    assert (error.code, error.reason) == (409, "AlreadyExists")
    assert error.message == 'secrets "s" already exists'
    error = refused(create, kinds.SECRETS, secret("x"), namespace="nowhere")
    assert (error.code, error.message) == (404, 'namespaces "nowhere" not found')
    error = refused(create, kinds.SECRETS, secret("../x"))
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.status()["details"]["causes"][0]["field"] == "metadata.name"
    assert refused(create, kinds.SECRETS, {}).code == 422
    assert refused(create, kinds.SECRETS, secret(metadata={"namespace": "other"})).code == 400
    assert refused(create, kinds.SECRETS, {"kind": "Pod", "metadata": {"name": "x"}}).code == 400
    assert refused(create, kinds.SECRETS, secret("x", data={"a": 1})).code == 400
    assert (
        refused(create, kinds.SECRETS, secret("x", metadata={"resourceVersion": "5"})).code == 400
    )
    assert refused(create, kinds.SECRETS, [1]).code == 400


def test_a_new_object_has_no_version_yet(create, refused):
    """What is no number is no version; who tries in dry run keeps nothing."""
    nameless = {"metadata": {"resourceVersion": "5"}}
    assert refused(create, kinds.SECRETS, nameless).code == 422
    for version in ("x", "0", ""):
        made = create(kinds.SECRETS, secret(f"s{version}", metadata={"resourceVersion": version}))
        assert int(made["metadata"]["resourceVersion"]) > 0
    tried = secret("x", metadata={"resourceVersion": "5"})
    made = create(kinds.SECRETS, tried, dry_run=True)
    assert made["metadata"]["resourceVersion"] == "5"


def test_an_update_in_dry_run_shows_the_version_that_it_came_with(registry):
    body = {"metadata": {"name": "x", "resourceVersion": "5"}}
    place = (kinds.LEASES, "default", "x")
    made = json.loads(registry.put(*place, body, SYSTEM, Options(dry_run=True)).data)
    assert made["metadata"]["resourceVersion"] == "5"
    made = json.loads(registry.put(*place, body, SYSTEM, Options()).data)
    assert made["metadata"]["resourceVersion"] != "5"


def test_a_failed_create_leaves_no_trace(create, refused, store, load):
    version = store.version
    refused(create, kinds.SECRETS, secret("x", data={"bad/key": "Yg=="}))
    assert store.version == version
    assert load(kinds.SECRETS, "x") is None


def test_unknown_fields_are_dropped_and_told(registry, refused):
    options = Options()
    written = registry.create(kinds.SECRETS, "default", secret(extra=1), SYSTEM, options)
    assert "extra" not in json.loads(written.data)
    assert options.warnings == ['unknown field "extra"']
    strict = Options(validation="Strict")
    error = refused(
        registry.create, kinds.SECRETS, "default", secret("t", extra=1), SYSTEM, strict
    )
    assert (error.code, 'unknown field "extra"' in error.message) == (400, True)


def test_a_dry_run_keeps_nothing(create, registry, load, store):
    version = store.version
    assert create(kinds.SECRETS, secret(), dry_run=True)["type"] == "Opaque"
    assert load(kinds.SECRETS, "s") is None
    assert store.version == version
    create(kinds.SECRETS, secret())
    registry.delete(kinds.SECRETS, "default", "s", Deletion(), dry_run=True)
    assert load(kinds.SECRETS, "s")


def test_updates(create, registry, refused, load):
    made = create(kinds.SECRETS, secret())
    made["metadata"]["labels"] = {"a": "b"}
    put(registry, made)
    error = refused(put, registry, made)
    assert (error.code, error.reason) == (409, "Conflict")
    assert "the object has been modified" in error.message
    # Without a version the last one wins.
    del made["metadata"]["resourceVersion"]
    made["metadata"]["labels"] = {"c": "d"}
    put(registry, made)
    assert load(kinds.SECRETS, "s")["metadata"]["labels"] == {"c": "d"}
    assert refused(put, registry, {**made, "metadata": {"name": "s", "uid": "other"}}).code == 409
    assert refused(put, registry, secret("absent")).code == 404
    error = refused(registry.update, kinds.SECRETS, "default", "s", secret("t"), SYSTEM, Options())
    assert error.code == 400


def test_what_changes_nothing_writes_nothing(create, registry, store):
    made = create(kinds.SECRETS, secret())
    version = store.version
    put(registry, made)
    change(registry, "s", {"metadata": {"labels": None}})
    assert store.version == version


def test_patches_of_every_kind(create, registry, refused):
    create(kinds.SECRETS, secret())
    change(registry, "s", {"metadata": {"labels": {"a": "b"}}})
    operations = [{"op": "add", "path": "/metadata/labels/c", "value": "d"}]
    change(registry, "s", operations, patch.JSON_PATCH)
    made = change(registry, "s", {"metadata": {"labels": {"a": None}}}, patch.STRATEGIC_PATCH)
    assert made["metadata"]["labels"] == {"c": "d"}
    assert refused(change, registry, "s", [], patch.MERGE_PATCH).code == 400
    assert refused(change, registry, "s", {}, "text/plain").code == 415
    assert refused(change, registry, "s", {"metadata": {"name": "t"}}).code == 400
    error = refused(change, registry, "s", {"data": {"a": 5}})
    assert (error.code, [cause.field for cause in error.causes]) == (422, ["patch"])
    stale = {"metadata": {"resourceVersion": "1", "labels": {}}}
    assert refused(change, registry, "s", stale).reason == "Conflict"
    assert refused(change, registry, "absent", {}).code == 404


def test_what_a_patch_makes_of_the_version_and_the_kind(create, registry, refused):
    create(kinds.SECRETS, secret())
    for body in ({"apiVersion": None}, {"apiVersion": "", "kind": None}):
        options = Options()
        error = refused(
            registry.patch,
            *(kinds.SECRETS, "default", "s", patch.MERGE_PATCH, body, SYSTEM, options),
        )
        assert (error.code, "was undeterminable" in error.message) == (400, True)
        assert options.warnings == ['unknown field "metadata"', 'unknown field "type"']
    for body in ({"apiVersion": None}, {"apiVersion": "x"}, {"kind": "x"}):
        made = change(registry, "s", body, kind=patch.STRATEGIC_PATCH)
        assert (made["apiVersion"], made["kind"]) == ("v1", "Secret")
    for body in ({"apiVersion": "x"}, {"kind": "x"}, {"kind": "x", "apiVersion": None}):
        assert refused(change, registry, "s", body).code == 422


def test_apply_creates_and_changes(registry, refused, load):
    def apply(body, **options):
        whole = {"apiVersion": "v1", "kind": "Secret", **body}
        return change(registry, "s", whole, patch.APPLY_PATCH, **options)

    made = apply(secret(stringData={"a": "b"}), manager="me")
    assert made["data"] == {"a": "Yg=="}
    assert made["metadata"]["managedFields"][0]["manager"] == "me"
    version = made["metadata"]["resourceVersion"]
    assert apply(secret(), manager="you")["metadata"]["managedFields"][-1]["manager"] == "me"
    labelled = apply(secret(metadata={"labels": {"a": "b"}}), manager="you")
    assert {item["manager"] for item in labelled["metadata"]["managedFields"]} == {"me", "you"}
    assert "invalid object type: /, Kind=" in str(
        refused(change, registry, "s", {"metadata": {"name": "s"}}, patch.APPLY_PATCH)
    )
    assert load(kinds.SECRETS, "s")["metadata"]["resourceVersion"] != version


def test_an_apply_refuses_what_cannot_be(registry, refused):
    def apply(**fields):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields}
        return refused(change, registry, "s", body, kind=patch.APPLY_PATCH, manager="me")

    error = apply(metadata={"name": "s", "uid": "u"})
    assert (error.code, error.reason) == (409, "Conflict")
    assert "uid mismatch: the provided object specified uid u" in error.message
    assert apply(apiVersion="a/b/c").message == "invalid object type: /, Kind="
    assert apply(apiVersion="v2").message == "invalid object type: /v2, Kind=Secret"
    owner = {"uid": "u", "odd": 1}
    assert apply(metadata={"name": "s", "ownerReferences": [owner]}).message.endswith(
        '.metadata.ownerReferences[uid="u"].odd: field not declared in schema'
    )


def test_an_apply_need_not_repeat_the_name_of_what_is_there(create, registry, refused):
    body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
    error = refused(change, registry, "s", body, patch.APPLY_PATCH)
    assert (error.code, "undeterminable" in error.message) == (400, True)
    create(kinds.SECRETS, secret())
    assert change(registry, "s", body, patch.APPLY_PATCH)["metadata"]["name"] == "s"
    other = {**body, "metadata": {"name": "t"}}
    assert refused(change, registry, "s", other, patch.APPLY_PATCH).code == 400


def test_status_is_written_apart(create, registry, pod, load):
    made = create(kinds.PODS, pod())
    made["status"] = {"phase": "Running"}
    made["metadata"]["labels"] = {"a": "b"}
    put(registry, made, kinds.PODS)
    stored = load(kinds.PODS, "one")
    assert (stored["status"]["phase"], stored["metadata"]["labels"]) == ("Pending", {"a": "b"})
    body = {"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}, "spec": {}}
    change(registry, "one", body, resource=kinds.PODS, subresource="status")
    stored = load(kinds.PODS, "one")
    labels = {"a": "b", "x": "y"}
    assert (stored["status"]["phase"], stored["metadata"]["labels"]) == ("Running", labels)
    assert stored["spec"]["containers"]


def test_finalizers_hold_a_deleted_object(create, registry, refused, load):
    create(kinds.SECRETS, secret(metadata={"finalizers": ["example.com/x"]}))
    assert not registry.delete(kinds.SECRETS, "default", "s", Deletion()).gone
    assert load(kinds.SECRETS, "s")["metadata"]["deletionTimestamp"]
    added = {"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}
    assert refused(change, registry, "s", added).code == 422
    change(registry, "s", {"metadata": {"finalizers": None}})
    assert load(kinds.SECRETS, "s") is None


def test_preconditions_of_a_deletion(create, registry, refused, load):
    made = create(kinds.SECRETS, secret())["metadata"]
    for deletion in (Deletion(uid="other"), Deletion(version="1")):
        error = refused(registry.delete, kinds.SECRETS, "default", "s", deletion)
        assert (error.code, error.reason) == (409, "Conflict")
    good = Deletion(uid=made["uid"], version=made["resourceVersion"])
    assert registry.delete(kinds.SECRETS, "default", "s", good).gone
    assert refused(registry.delete, kinds.SECRETS, "default", "s", Deletion()).code == 404


def test_a_running_pod_is_given_time(create, registry, pod, load):
    create(kinds.PODS, pod(nodeName="node", terminationGracePeriodSeconds=20))
    registry.delete(kinds.PODS, "default", "one", Deletion())
    first = load(kinds.PODS, "one")["metadata"]
    assert first["deletionGracePeriodSeconds"] == 20
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=25))
    assert load(kinds.PODS, "one")["metadata"] == first
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=5))
    assert load(kinds.PODS, "one")["metadata"]["deletionGracePeriodSeconds"] == 5
    assert registry.delete(kinds.PODS, "default", "one", Deletion(grace=0)).gone


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_goes_at_once(create, registry, pod, phase):
    create(kinds.PODS, pod(nodeName="node"))
    body = {"status": {"phase": phase}}
    change(registry, "one", body, resource=kinds.PODS, subresource="status")
    assert registry.delete(kinds.PODS, "default", "one", Deletion()).gone


def test_a_pod_without_a_node_goes_at_once(create, registry, pod):
    create(kinds.PODS, pod())
    assert registry.delete(kinds.PODS, "default", "one", Deletion()).gone


def test_watchers_see_that_a_pod_is_to_go_before_it_is_gone(create, registry, pod):
    made = create(kinds.PODS, pod())["metadata"]
    gone = json.loads(registry.delete(kinds.PODS, "default", "one", Deletion()).data)["metadata"]
    since = int(made["resourceVersion"])
    marked, removed = registry.store.changes(kinds.PODS.key, since, 9)
    assert [marked.type, removed.type] == ["MODIFIED", "DELETED"]
    for change in (marked, removed):
        meta = json.loads(change.data)["metadata"]
        assert (meta["deletionGracePeriodSeconds"], meta["generation"]) == (0, 2)
    assert gone["resourceVersion"] == str(removed.version)


def test_generation_counts_changes_of_the_spec(create, registry, pod, load):
    create(kinds.PODS, pod())
    change(registry, "one", {"metadata": {"labels": {"a": "b"}}}, resource=kinds.PODS)
    assert load(kinds.PODS, "one")["metadata"]["generation"] == 1
    kept = load(kinds.PODS, "one")["spec"]["tolerations"]
    more = {"spec": {"tolerations": [*kept, {"operator": "Exists"}]}}
    change(registry, "one", more, resource=kinds.PODS)
    assert load(kinds.PODS, "one")["metadata"]["generation"] == 2


def test_a_namespace_comes_furnished_and_goes_in_two_steps(create, registry, refused, load):
    create(kinds.NAMESPACES, {"metadata": {"name": "new"}})
    assert load(kinds.SERVICE_ACCOUNTS, "default", "new")
    assert load(kinds.CONFIG_MAPS, "kube-root-ca.crt", "new")["data"]["ca.crt"] == "the authority"
    registry.delete(kinds.NAMESPACES, "", "new", Deletion())
    assert load(kinds.NAMESPACES, "new")["status"]["phase"] == "Terminating"
    error = refused(create, kinds.SECRETS, secret(), namespace="new")
    assert error.code == 403
    assert "because it is being terminated" in error.message
    assert [cause.reason for cause in error.causes] == ["NamespaceTerminating"]
    assert refused(registry.delete, kinds.NAMESPACES, "", "default", Deletion()).code == 403


def test_modify_is_for_one_very_object(create, registry):
    made = create(kinds.SECRETS, secret())

    def label(obj):
        obj["metadata"]["labels"] = {"a": "b"}
        return True

    assert not registry.modify(kinds.SECRETS, "default", "s", label, uid="other")
    assert registry.modify(kinds.SECRETS, "default", "s", label, uid=made["metadata"]["uid"])
    assert not registry.modify(kinds.SECRETS, "default", "absent", label)
