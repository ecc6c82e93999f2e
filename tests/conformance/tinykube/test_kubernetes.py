"""The `kubernetes` client, unmodified."""

from __future__ import annotations

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException


@pytest.fixture
def api(kubeconfig):
    made = config.new_client_from_config(str(kubeconfig))
    yield made
    made.close()


@pytest.fixture
def core(api):
    return client.CoreV1Api(api)


def pod(name, *command, **spec):
    main = client.V1Container(name="main", image="python:3", command=list(command))
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1PodSpec(restart_policy="Never", containers=[main], **spec),
    )


def last(core, name):
    following = watch.Watch()
    for event in following.stream(
        core.list_namespaced_pod,
        "default",
        field_selector=f"metadata.name={name}",
        timeout_seconds=60,
    ):
        if event["object"].status.phase in ("Succeeded", "Failed"):
            following.stop()
            return event["object"]
    raise AssertionError(f"pod {name} did not end in time")


def test_a_pod_is_made_followed_and_deleted(core, name):
    core.create_namespaced_pod("default", pod(name, "sh", "-c", "echo one; echo two"))
    ended = last(core, name)
    assert ended.status.phase == "Succeeded"
    assert core.read_namespaced_pod_log(name, "default") == "one\ntwo\n"
    following = watch.Watch()
    lines = list(
        following.stream(core.read_namespaced_pod_log, name=name, namespace="default", follow=True)
    )
    assert lines == ["one", "two"]
    assert core.delete_namespaced_pod(name, "default").metadata.name == name
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod(name, "default")
    assert caught.value.status == 404


def test_secrets(core, name):
    body = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data={"a": "b"})
    assert core.create_namespaced_secret("default", body).data == {"a": "Yg=="}
    changed = core.patch_namespaced_secret(name, "default", {"metadata": {"labels": {"x": "y"}}})
    assert changed.metadata.labels == {"x": "y"}
    found = core.list_namespaced_secret("default", label_selector="x=y", limit=1)
    assert [item.metadata.name for item in found.items] == [name]
    assert core.delete_namespaced_secret(name, "default").status == "Success"


def test_tokens_and_reviews(api, core):
    spec = client.V1TokenRequestSpec(audiences=[], expiration_seconds=600)
    request = client.AuthenticationV1TokenRequest(spec=spec)
    answer = core.create_namespaced_service_account_token("default", "default", request)
    assert answer.status.token.count(".") == 2
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(
            resource_attributes=client.V1ResourceAttributes(verb="get", resource="pods")
        )
    )
    found = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    assert found.status.allowed


def test_discovery(api):
    names = {item.name for item in client.CoreV1Api(api).get_api_resources().resources}
    assert {"pods", "pods/log", "secrets"} <= names
    assert {item.name for item in client.ApisApi(api).get_api_versions().groups} >= {
        "rbac.authorization.k8s.io"
    }
    assert client.VersionApi(api).get_code().major == "1"


def test_what_is_not_there_is_a_404(api):
    with pytest.raises(ApiException) as caught:
        client.AppsV1Api(api).list_namespaced_deployment("default")
    assert caught.value.status == 404


def test_watches_see_creation_change_and_end(core, name):
    following = watch.Watch()
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"a": "b"})
    start = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", body)
    core.patch_namespaced_config_map(name, "default", {"data": {"a": "c"}})
    core.delete_namespaced_config_map(name, "default")
    seen = []
    for event in following.stream(
        core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=20
    ):
        if event["object"].metadata.name == name:
            seen.append(event["type"])
        if event["type"] == "DELETED":
            following.stop()
    assert seen == ["ADDED", "MODIFIED", "DELETED"]
