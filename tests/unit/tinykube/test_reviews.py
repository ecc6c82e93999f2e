"""The answers are those that a Kubernetes 1.37.2 API server gave to the same requests."""

import pytest

from tinykube import kinds
from tinykube.kinds import reviews

WHO = "/apis/authentication.k8s.io/v1"
WHAT = "/apis/authorization.k8s.io/v1"
PODS = {"verb": "get", "resource": "pods", "namespace": "default"}


async def post(http, path, spec, code=201, **headers):
    answer = await http.post(path, json={"spec": spec}, headers=headers)
    assert answer.status_code == code, answer.text
    return answer.json()


async def status(http, path, spec, **headers):
    return (await post(http, path, spec, **headers))["status"]


@pytest.fixture
def reader(create, account):
    """The token of a service account that may read pods in `default`."""
    token = account("reader")
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    create(kinds.ROLES, {"metadata": {"name": "reads"}, "rules": rules})
    create(
        kinds.ROLE_BINDINGS,
        {
            "metadata": {"name": "reads"},
            "roleRef": {"kind": "Role", "name": "reads"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "reader", "namespace": "default"},
                {"kind": "User", "name": "bob"},
            ],
        },
    )
    return token


async def test_who_asks(http, reader):
    body = await post(http, f"{WHO}/selfsubjectreviews", {}, Authorization=f"Bearer {reader}")
    assert "spec" not in body
    user = body["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:reader"
    assert user["uid"]
    (credential,) = user["extra"]["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("JTI=")


async def test_whose_token_it_is(http, reader):
    found = await status(http, f"{WHO}/tokenreviews", {"token": reader})
    assert found["authenticated"] is True
    assert found["user"]["username"] == "system:serviceaccount:default:reader"
    assert found["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
    nobody = await status(http, f"{WHO}/tokenreviews", {"token": "x"})
    assert nobody == {"user": {}, "error": "invalid bearer token"}
    other = {"token": reader, "audiences": ["vault"]}
    assert await status(http, f"{WHO}/tokenreviews", other) == nobody
    empty = await post(http, f"{WHO}/tokenreviews", {}, code=400)
    assert empty["message"] == "token is required for TokenReview in authentication"


async def test_a_token_for_another_audience(http, create, tokens):
    made = create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": "a"}})
    token = tokens.issue(made, ["vault", "other"], 3600).token
    spec = {"token": token, "audiences": ["vault", "unknown"]}
    found = await status(http, f"{WHO}/tokenreviews", spec)
    assert (found["authenticated"], found["audiences"]) == (True, ["vault"])
    # It is none for the API itself.
    assert "error" in await status(http, f"{WHO}/tokenreviews", {"token": token})
    refused = await http.get("/api", headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 401


async def test_what_the_caller_may(http, reader):
    mine = {"Authorization": f"Bearer {reader}"}
    path = f"{WHAT}/selfsubjectaccessreviews"
    reason = (
        'RBAC: allowed by RoleBinding "reads/default" of Role "reads" to ServiceAccount '
        '"reader/default"'
    )
    allowed = await status(http, path, {"resourceAttributes": PODS}, **mine)
    assert allowed == {"allowed": True, "reason": reason}
    listing = {**PODS, "verb": "list"}
    assert await status(http, path, {"resourceAttributes": listing}, **mine) == {"allowed": False}
    assert await status(http, path, {"resourceAttributes": listing}) == {"allowed": True}
    address = {"nonResourceAttributes": {"path": "/api", "verb": "get"}}
    assert (await status(http, path, address, **mine))["allowed"] is True


async def test_what_somebody_else_may(http, reader):
    path = f"{WHAT}/subjectaccessreviews"
    assert (await status(http, path, {"user": "bob", "resourceAttributes": PODS}))["allowed"]
    assert not (await status(http, path, {"user": "eve", "resourceAttributes": PODS}))["allowed"]
    masters = {"groups": ["system:masters"], "resourceAttributes": PODS}
    assert (await status(http, path, masters))["allowed"]
    refused = await http.post(
        path,
        json={"spec": {"user": "bob", "resourceAttributes": PODS}},
        headers={"Authorization": f"Bearer {reader}"},
    )
    assert refused.status_code == 403


async def test_what_somebody_may_in_one_namespace(http, reader):
    path = f"{WHAT}/namespaces/default/localsubjectaccessreviews"
    body = await post(http, path, {"user": "bob", "resourceAttributes": PODS})
    assert body["status"]["allowed"] is True
    assert body["metadata"]["namespace"] == "default"
    other = {"user": "bob", "resourceAttributes": {**PODS, "namespace": "other"}}
    fault = await post(http, path, other, code=422)
    assert "must match metadata.namespace" in fault["message"]
    address = {"user": "bob", "nonResourceAttributes": {"path": "/", "verb": "get"}}
    await post(http, path, address, code=422)


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("subjectaccessreviews", {"resourceAttributes": PODS}),
        ("subjectaccessreviews", {"user": "bob"}),
        ("selfsubjectaccessreviews", {}),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": PODS, "nonResourceAttributes": {"path": "/", "verb": "get"}},
        ),
    ],
)
async def test_reviews_that_ask_nothing_clear(http, plural, spec):
    body = await post(http, f"{WHAT}/{plural}", spec, code=422)
    assert body["reason"] == "Invalid"


async def test_all_that_the_caller_may(http, reader):
    path = f"{WHAT}/selfsubjectrulesreviews"
    mine = {"Authorization": f"Bearer {reader}"}
    found = await status(http, path, {"namespace": "default"}, **mine)
    assert found["incomplete"] is False
    pods = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    assert pods in found["resourceRules"]
    assert any("/api" in rule["nonResourceURLs"] for rule in found["nonResourceRules"])
    elsewhere = await status(http, path, {"namespace": "kube-system"}, **mine)
    assert pods not in elsewhere["resourceRules"]
    everything = await status(http, path, {"namespace": "default"})
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in everything["resourceRules"]
    assert "no namespace" in (await post(http, path, {}, code=400))["message"]


async def test_reviews_are_only_created_and_where_they_belong(http):
    for review in reviews.ALL:
        place = "/namespaces/default" if review.namespaced else ""
        path = f"/apis/{review.api_version}{place}/{review.plural}"
        assert (await http.get(path)).status_code == 405
        assert (await http.delete(path)).status_code == 405
        wrong = "" if review.namespaced else "/namespaces/default"
        elsewhere = f"/apis/{review.api_version}{wrong}/{review.plural}"
        assert (await http.post(elsewhere, json={})).status_code == 404
        listed = (await http.get(f"/apis/{review.api_version}")).json()["resources"]
        (entry,) = [item for item in listed if item["name"] == review.plural]
        assert (entry["namespaced"], entry["verbs"]) == (review.namespaced, ["create"])
