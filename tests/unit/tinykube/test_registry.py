import json

from tinykube import kinds, patch
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM


def test_an_update_in_dry_run_shows_the_version_that_it_came_with(registry):
    body = {"metadata": {"name": "x", "resourceVersion": "5"}}
    place = (kinds.LEASES, "default", "x")
    made = json.loads(registry.put(*place, body, SYSTEM, Options(dry_run=True)).data)
    assert made["metadata"]["resourceVersion"] == "5"
    made = json.loads(registry.put(*place, body, SYSTEM, Options()).data)
    assert made["metadata"]["resourceVersion"] != "5"


def test_unknown_fields_are_dropped_and_told(registry, secret, refused):
    options = Options()
    written = registry.create(kinds.SECRETS, "default", secret(extra=1), SYSTEM, options)
    assert "extra" not in json.loads(written.data)
    assert options.warnings == ['unknown field "extra"']
    strict = Options(validation="Strict")
    error = refused(
        registry.create, kinds.SECRETS, "default", secret("t", extra=1), SYSTEM, strict
    )
    assert (error.code, 'unknown field "extra"' in error.message) == (400, True)


def test_a_dry_run_keeps_nothing(create, registry, secret, load, store):
    version = store.version
    assert create(kinds.SECRETS, secret(), dry_run=True)["type"] == "Opaque"
    assert load(kinds.SECRETS, "s") is None
    assert store.version == version
    create(kinds.SECRETS, secret())
    registry.delete(kinds.SECRETS, "default", "s", Deletion(), dry_run=True)
    assert load(kinds.SECRETS, "s")


def test_patches_of_every_kind(create, change, secret, refused):
    create(kinds.SECRETS, secret())
    change("s", {"metadata": {"labels": {"a": "b"}}})
    operations = [{"op": "add", "path": "/metadata/labels/c", "value": "d"}]
    change("s", operations, patch.JSON_PATCH)
    made = change("s", {"metadata": {"labels": {"a": None}}}, patch.STRATEGIC_PATCH)
    assert made["metadata"]["labels"] == {"c": "d"}
    assert refused(change, "s", [], patch.MERGE_PATCH).code == 400
    assert refused(change, "s", {}, "text/plain").code == 415
    assert refused(change, "s", {"metadata": {"name": "t"}}).code == 400
    error = refused(change, "s", {"data": {"a": 5}})
    assert (error.code, [cause.field for cause in error.causes]) == (422, ["patch"])
    stale = {"metadata": {"resourceVersion": "1", "labels": {}}}
    assert refused(change, "s", stale).reason == "Conflict"
    assert refused(change, "absent", {}).code == 404


def test_what_a_patch_makes_of_the_version_and_the_kind(create, change, registry, secret, refused):
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
        made = change("s", body, kind=patch.STRATEGIC_PATCH)
        assert (made["apiVersion"], made["kind"]) == ("v1", "Secret")
    for body in ({"apiVersion": "x"}, {"kind": "x"}, {"kind": "x", "apiVersion": None}):
        assert refused(change, "s", body).code == 422


def test_a_namespace_comes_furnished_and_goes_in_two_steps(
    create, registry, secret, refused, load
):
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
