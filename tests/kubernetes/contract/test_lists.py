"""Lists, pages and watches, by the `kubernetes` client."""

import pytest
from kubernetes import client as kube
from kubernetes import watch
from kubernetes.client.exceptions import ApiException


@pytest.fixture
def core(api):
    return kube.CoreV1Api(api)


@pytest.fixture
def put(core, namespace):
    def create(name, **labels):
        body = kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name=name, labels=labels))
        return core.create_namespaced_config_map(namespace, body)

    return create


def names(found):
    return [item.metadata.name for item in found.items if item.metadata.name.startswith("c")]


def test_pages_are_of_one_moment(core, put, namespace):
    for number in range(5):
        put(f"c{number}", page="yes")
    first = core.list_namespaced_config_map(namespace, label_selector="page=yes", limit=2)
    put("c1b", page="yes")
    core.delete_namespaced_config_map("c4", namespace)
    rest = core.list_namespaced_config_map(
        namespace, label_selector="page=yes", limit=9, _continue=first.metadata._continue
    )
    assert names(first) + names(rest) == ["c0", "c1", "c2", "c3", "c4"]
    assert first.metadata.resource_version == rest.metadata.resource_version
    assert not rest.metadata._continue


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("a=1", ["c0"]),
        ("a!=1", ["c1", "c2"]),
        ("a in (1,2)", ["c0", "c1"]),
        ("a notin (1)", ["c1", "c2"]),
        ("a", ["c0", "c1"]),
        ("!a", ["c2"]),
        ("a,b", ["c1"]),
    ],
)
def test_labels(core, put, namespace, selector, found):
    put("c0", a="1")
    put("c1", a="2", b="x")
    put("c2", b="y")
    assert names(core.list_namespaced_config_map(namespace, label_selector=selector)) == found


def test_fields(core, put, namespace):
    put("c0")
    put("c1")
    listed = core.list_namespaced_config_map
    assert names(listed(namespace, field_selector="metadata.name=c1")) == ["c1"]
    with pytest.raises(ApiException) as caught:
        listed(namespace, field_selector="data.k=1")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"limit": "many"}, 400),
        ({"label_selector": "a in 1"}, 400),
        ({"_continue": "nonsense"}, 400),
        ({"resource_version": "x"}, 400),
        ({"resource_version_match": "Exact"}, 422),
        ({"resource_version": "1", "resource_version_match": "Roughly"}, 422),
    ],
)
def test_bad_options(core, namespace, options, code):
    with pytest.raises(ApiException) as caught:
        core.list_namespaced_config_map(namespace, **options)
    assert caught.value.status == code


def test_a_version_that_is_not_reached(core, namespace):
    with pytest.raises(ApiException) as caught:
        core.list_namespaced_config_map(
            namespace, resource_version="999999999", resource_version_match="Exact"
        )
    assert caught.value.status == 504
    assert "Too large resource version" in caught.value.body


def test_a_watch_goes_on_where_it_was(core, put, namespace):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    made = put("c0")
    core.patch_namespaced_config_map("c0", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("c0", namespace)
    assert seen(core, namespace, start) == ["ADDED", "MODIFIED", "DELETED"]
    assert seen(core, namespace, made.metadata.resource_version) == ["MODIFIED", "DELETED"]


def seen(core, namespace, version):
    following, types = watch.Watch(), []
    for event in following.stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=version,
        field_selector="metadata.name=c0",
        timeout_seconds=20,
    ):
        types.append(event["type"])
        if event["type"] == "DELETED":
            following.stop()
    return types


def test_a_watch_by_label_sees_objects_come_and_go(core, put, namespace):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    put("c0", a="1")
    core.patch_namespaced_config_map("c0", namespace, {"metadata": {"labels": {"a": "2"}}})
    core.patch_namespaced_config_map("c0", namespace, {"metadata": {"labels": {"a": "1"}}})
    core.delete_namespaced_config_map("c0", namespace)
    following, types = watch.Watch(), []
    for event in following.stream(
        core.list_namespaced_config_map,
        namespace,
        resource_version=start,
        label_selector="a=1",
        timeout_seconds=20,
    ):
        types.append(event["type"])
        if len(types) == 4:
            following.stop()
    assert types == ["ADDED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_that_lists_first_marks_the_end_of_the_list(core, put, namespace):
    put("c0", a="1")
    following, types = watch.Watch(), []
    for event in following.stream(
        core.list_namespaced_config_map,
        namespace,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        allow_watch_bookmarks=True,
        label_selector="a=1",
        timeout_seconds=20,
    ):
        types.append(event["type"])
        if event["type"] == "BOOKMARK":
            notes = event["raw_object"]["metadata"]["annotations"]
            assert notes == {"k8s.io/initial-events-end": "true"}
            following.stop()
    assert types == ["ADDED", "BOOKMARK"]
