from tinykube import kinds


def test_a_created_object_is_complete(create, secret):
    made = create(kinds.SECRETS, secret(stringData={"a": "b"}))
    meta = made["metadata"]
    assert made["data"] == {"a": "Yg=="}
    assert made["type"] == "Opaque"
    assert meta["namespace"] == "default"
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 0


def test_a_role_without_rules_shows_that(create):
    assert create(kinds.ROLES, {"metadata": {"name": "r"}})["rules"] is None
    made = create(kinds.ROLES, {"metadata": {"name": "s"}, "rules": []})
    assert made["rules"] is None
    # Whoever wrote that there are none owns that.
    assert [item["fieldsV1"] for item in made["metadata"]["managedFields"]] == [{"f:rules": {}}]


def test_a_client_cannot_choose_what_the_system_writes(create, secret):
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


def test_create_refuses(create, secret, refused):
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


def test_a_new_object_has_no_version_yet(create, secret, refused):
    """What is no number is no version; who tries in dry run keeps nothing."""
    nameless = {"metadata": {"resourceVersion": "5"}}
    assert refused(create, kinds.SECRETS, nameless).code == 422
    for version in ("x", "0", ""):
        made = create(kinds.SECRETS, secret(f"s{version}", metadata={"resourceVersion": version}))
        assert int(made["metadata"]["resourceVersion"]) > 0
    tried = secret("x", metadata={"resourceVersion": "5"})
    made = create(kinds.SECRETS, tried, dry_run=True)
    assert made["metadata"]["resourceVersion"] == "5"


def test_a_failed_create_leaves_no_trace(create, secret, refused, load, store):
    version = store.version
    refused(create, kinds.SECRETS, secret("x", data={"bad/key": "Yg=="}))
    assert store.version == version
    assert load(kinds.SECRETS, "x") is None
