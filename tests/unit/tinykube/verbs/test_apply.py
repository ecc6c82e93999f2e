from tinykube import kinds, patch


def test_apply_creates_and_changes(change, secret, refused, load):
    def apply(body, **options):
        whole = {"apiVersion": "v1", "kind": "Secret", **body}
        return change("s", whole, patch.APPLY_PATCH, **options)

    made = apply(secret(stringData={"a": "b"}), manager="me")
    assert made["data"] == {"a": "Yg=="}
    assert made["metadata"]["managedFields"][0]["manager"] == "me"
    version = made["metadata"]["resourceVersion"]
    assert apply(secret(), manager="you")["metadata"]["managedFields"][-1]["manager"] == "me"
    labelled = apply(secret(metadata={"labels": {"a": "b"}}), manager="you")
    assert {item["manager"] for item in labelled["metadata"]["managedFields"]} == {"me", "you"}
    assert "invalid object type: /, Kind=" in str(
        refused(change, "s", {"metadata": {"name": "s"}}, patch.APPLY_PATCH)
    )
    assert load(kinds.SECRETS, "s")["metadata"]["resourceVersion"] != version


def test_an_apply_refuses_what_cannot_be(change, refused):
    def apply(**fields):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields}
        return refused(change, "s", body, kind=patch.APPLY_PATCH, manager="me")

    error = apply(metadata={"name": "s", "uid": "u"})
    assert (error.code, error.reason) == (409, "Conflict")
    assert "uid mismatch: the provided object specified uid u" in error.message
    assert apply(apiVersion="a/b/c").message == "invalid object type: /, Kind="
    assert apply(apiVersion="v2").message == "invalid object type: /v2, Kind=Secret"
    owner = {"uid": "u", "odd": 1}
    assert apply(metadata={"name": "s", "ownerReferences": [owner]}).message.endswith(
        '.metadata.ownerReferences[uid="u"].odd: field not declared in schema'
    )


def test_an_apply_need_not_repeat_the_name_of_what_is_there(create, change, secret, refused):
    body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
    error = refused(change, "s", body, patch.APPLY_PATCH)
    assert (error.code, "undeterminable" in error.message) == (400, True)
    create(kinds.SECRETS, secret())
    assert change("s", body, patch.APPLY_PATCH)["metadata"]["name"] == "s"
    other = {**body, "metadata": {"name": "t"}}
    assert refused(change, "s", other, patch.APPLY_PATCH).code == 400
