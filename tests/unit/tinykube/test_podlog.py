import pytest

from tinykube import kinds

PATH = "/api/v1/namespaces/default/pods/one/log"


@pytest.fixture
def bound(create, pod):
    def make(*more):
        spec = {"nodeName": "node"}
        if more:
            spec["initContainers"] = [{"name": name, "image": "x"} for name in more]
        return create(kinds.PODS, pod(**spec))

    return make


async def test_a_log_is_text(http, bound, logs):
    bound()
    logs.texts["main"] = [b"one\n", b"two\n"]
    answer = await http.get(PATH, params={"tailLines": 5, "limitBytes": 100})
    assert answer.text == "one\ntwo\n"
    assert answer.headers["content-type"].startswith("text/plain")
    (asked,) = logs.asked
    assert (asked.tail_lines, asked.limit_bytes, asked.follow) == (5, 100, False)


async def test_an_empty_log(http, bound, logs):
    bound()
    logs.texts["main"] = []
    answer = await http.get(PATH, params={"follow": "true"})
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_container_is_chosen(http, bound, logs):
    bound("first")
    logs.texts["first"] = [b"init\n"]
    assert (await http.get(PATH, params={"container": "first"})).text == "init\n"
    answer = await http.get(PATH, params={"container": "../x"})
    assert answer.status_code == 400
    assert "is not valid for pod one" in answer.json()["message"]


async def test_one_of_several_must_be_named(http, create, pod):
    body = pod(nodeName="node")
    body["spec"]["containers"].append({"name": "side", "image": "x"})
    create(kinds.PODS, body)
    answer = await http.get(PATH)
    assert answer.json()["message"] == (
        "a container name must be specified for pod one, choose one of: [main side]"
    )


async def test_one_that_has_not_started(http, bound):
    bound()
    answer = await http.get(PATH)
    assert answer.status_code == 400
    assert "waiting to start" in answer.json()["message"]


async def test_a_pod_without_a_node_has_none(http, create, pod):
    create(kinds.PODS, pod())
    assert (await http.get(PATH)).status_code == 204
    assert (await http.get(PATH.replace("one", "absent"))).status_code == 404


@pytest.mark.parametrize(
    "params",
    [
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceSeconds": "0"},
        {"sinceTime": "noon"},
        {"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "5"},
        {"stream": "Stderr"},
        {"colour": "red"},
    ],
)
async def test_options_that_cannot_be_met(http, bound, logs, params):
    bound()
    logs.texts["main"] = []
    assert (await http.get(PATH, params=params)).status_code == 400


async def test_since(http, bound, logs):
    bound()
    logs.texts["main"] = []
    await http.get(PATH, params={"sinceTime": "2026-01-01T00:00:00Z"})
    assert logs.asked[0].since == 1767225600.0
