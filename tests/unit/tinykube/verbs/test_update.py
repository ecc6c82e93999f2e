from tinykube import kinds
from tinykube.options import Options
from tinykube.rbac import SYSTEM


def test_updates(create, put, registry, secret, refused, load):
    made = create(kinds.SECRETS, secret())
    made["metadata"]["labels"] = {"a": "b"}
    put(made)
    error = refused(put, made)
    assert (error.code, error.reason) == (409, "Conflict")
    assert "the object has been modified" in error.message
    # Without a version the last one wins.
    del made["metadata"]["resourceVersion"]
    made["metadata"]["labels"] = {"c": "d"}
    put(made)
    assert load(kinds.SECRETS, "s")["metadata"]["labels"] == {"c": "d"}
    assert refused(put, {**made, "metadata": {"name": "s", "uid": "other"}}).code == 409
    assert refused(put, secret("absent")).code == 404
    error = refused(registry.update, kinds.SECRETS, "default", "s", secret("t"), SYSTEM, Options())
    assert error.code == 400


def test_what_changes_nothing_writes_nothing(create, change, put, secret, store):
    made = create(kinds.SECRETS, secret())
    version = store.version
    put(made)
    change("s", {"metadata": {"labels": None}})
    assert store.version == version


def test_status_is_written_apart(create, change, put, pod, load):
    made = create(kinds.PODS, pod())
    made["status"] = {"phase": "Running"}
    made["metadata"]["labels"] = {"a": "b"}
    put(made, kinds.PODS)
    stored = load(kinds.PODS, "one")
    assert (stored["status"]["phase"], stored["metadata"]["labels"]) == ("Pending", {"a": "b"})
    body = {"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}, "spec": {}}
    change("one", body, resource=kinds.PODS, subresource="status")
    stored = load(kinds.PODS, "one")
    labels = {"a": "b", "x": "y"}
    assert (stored["status"]["phase"], stored["metadata"]["labels"]) == ("Running", labels)
    assert stored["spec"]["containers"]


def test_generation_counts_changes_of_the_spec(create, change, pod, load):
    create(kinds.PODS, pod())
    change("one", {"metadata": {"labels": {"a": "b"}}}, resource=kinds.PODS)
    assert load(kinds.PODS, "one")["metadata"]["generation"] == 1
    kept = load(kinds.PODS, "one")["spec"]["tolerations"]
    more = {"spec": {"tolerations": [*kept, {"operator": "Exists"}]}}
    change("one", more, resource=kinds.PODS)
    assert load(kinds.PODS, "one")["metadata"]["generation"] == 2
