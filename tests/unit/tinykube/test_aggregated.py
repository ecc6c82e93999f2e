import pytest

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BOTH = f"{V2},{V2.replace('v2;', 'v2beta1;')},application/json"


async def test_everything_is_listed_in_two_answers(http):
    core = await http.get("/api", headers={"accept": BOTH})
    assert core.headers["content-type"] == V2
    (only,) = core.json()["items"]
    (version,) = only["versions"]
    pods = next(item for item in version["resources"] if item["resource"] == "pods")
    assert pods["responseKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert (pods["scope"], pods["singularResource"]) == ("Namespaced", "pod")
    assert pods["shortNames"] == ["po"]
    assert {"status", "log"} <= {item["subresource"] for item in pods["subresources"]}
    rest = (await http.get("/apis", headers={"accept": V2})).json()
    assert rest["kind"] == "APIGroupDiscoveryList"
    assert rest["apiVersion"] == "apidiscovery.k8s.io/v2"
    listed = (await http.get("/apis")).json()
    assert listed["kind"] == "APIGroupList"
    assert [item["metadata"]["name"] for item in rest["items"]] == [
        item["name"] for item in listed["groups"]
    ]


async def test_a_client_keeps_an_answer_until_it_changes(http, create):
    first = await http.get("/apis", headers={"accept": V2})
    known = {"accept": V2, "if-none-match": first.headers["etag"]}
    assert (await http.get("/apis", headers=known)).status_code == 304
    assert (await http.get("/api", headers=known)).status_code == 200


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        f"application/json,{V2}",
        f"{V2.replace('v2;', 'v9;')},application/json",
    ],
)
async def test_whoever_prefers_something_else_gets_the_plain_form(http, accept):
    answer = await http.get("/apis", headers={"accept": accept})
    assert answer.json()["kind"] == "APIGroupList"
