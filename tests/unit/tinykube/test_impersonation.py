import pytest

from tinykube import kinds

PODS = "/api/v1/namespaces/default/pods"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def whoami(http, headers):
    answer = await http.post(WHO, json={}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["status"]["userInfo"]


async def test_the_administrator_acts_as_anybody(http):
    user = await whoami(
        http,
        [
            ("Impersonate-User", "bob"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Group", "h"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Extra-Scopes", "a"),
            ("Impersonate-Extra-b%2fc", "x"),
        ],
    )
    assert user == {
        "username": "bob",
        "uid": "7",
        "groups": ["g", "h", "system:authenticated"],
        "extra": {"scopes": ["a"], "b/c": ["x"]},
    }


async def test_rights_are_those_of_the_one_acted_as(http):
    answer = await http.get(PODS, headers={"Impersonate-User": "bob"})
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the '
        'namespace "default"'
    )


async def test_a_service_account_has_its_groups(http):
    user = await whoami(http, {"Impersonate-User": "system:serviceaccount:default:bot"})
    assert user["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ]


async def test_nobody_who_is_anonymous_is_authenticated(http):
    answer = await http.post(WHO, json={}, headers={"Impersonate-User": "system:anonymous"})
    assert answer.status_code == 403


@pytest.mark.parametrize("header", ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-x"])
async def test_nothing_is_acted_as_without_a_user(http, header):
    answer = await http.get(PODS, headers={header: "g"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def rule(resource, group="", **more):
    return {"verbs": ["impersonate"], "apiGroups": [group], "resources": [resource], **more}


BOB = {"Impersonate-User": "bob"}


@pytest.mark.parametrize(
    ("rules", "headers", "code"),
    [
        ([], BOB, 403),
        ([rule("users", resourceNames=["eve"])], BOB, 403),
        ([rule("users", resourceNames=["bob"])], BOB, 201),
        ([rule("users")], {**BOB, "Impersonate-Group": "system:masters"}, 403),
        ([rule("users"), rule("groups")], {**BOB, "Impersonate-Group": "g"}, 201),
        ([rule("users")], {**BOB, "Impersonate-Uid": "1"}, 403),
        (
            [rule("users"), rule("uids", "authentication.k8s.io")],
            {**BOB, "Impersonate-Uid": "1"},
            201,
        ),
        ([rule("users")], {**BOB, "Impersonate-Extra-a": "1"}, 403),
        (
            [rule("users"), rule("userextras/a", "authentication.k8s.io")],
            {**BOB, "Impersonate-Extra-a": "1"},
            201,
        ),
        ([rule("users")], {"Impersonate-User": "system:serviceaccount:default:bot"}, 403),
        (
            [rule("serviceaccounts", resourceNames=["bot"])],
            {"Impersonate-User": "system:serviceaccount:default:bot"},
            201,
        ),
    ],
)
async def test_each_part_needs_its_own_right(http, account, rules, headers, code):
    token = account("actor", rules)
    answer = await http.post(WHO, json={}, headers={"Authorization": f"Bearer {token}", **headers})
    assert answer.status_code == code, answer.text
    if code == 403:
        assert "cannot impersonate resource" in answer.json()["message"]


async def test_grants_are_judged_by_the_one_acted_as(http):
    role = {"metadata": {"name": "r"}, "rules": [rule("users")]}
    path = f"/apis/{kinds.RBAC}/v1/clusterroles"
    answer = await http.post(path, json=role, headers=BOB)
    assert answer.status_code == 403
