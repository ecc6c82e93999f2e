import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from starlette.responses import PlainTextResponse

from tinykube import pki
from tinykube.node.guard import Guard
from tinykube.serving import PEER


class Reviewer:
    """A control plane's judgement."""

    def __init__(self, allowed=True):
        self.allowed = allowed
        self.asked = []

    async def review(self, kind, group, spec):
        self.asked.append((kind, spec))
        if isinstance(self.allowed, Exception):
            raise self.allowed
        if kind == "TokenReview":
            good = spec["token"] == "good"
            return {"authenticated": good, "user": {"username": "u", "groups": ["g"]}}
        return {"allowed": self.allowed}


@pytest.fixture
def certificate(keys, tmp_path):
    def make(name, *groups):
        files = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        pki.issue(*files, keys.authority.parent, name, groups)
        found = x509.load_pem_x509_certificate(files[0].read_bytes())
        return found.public_bytes(serialization.Encoding.DER)

    return make


@pytest.fixture
def ask():
    async def send(reviewer, path="/containerLogs/a/b/c", peer=None, token=None, times=1):
        guard = Guard(PlainTextResponse("in"), reviewer, "n")

        async def app(scope, receive, reply):
            scope["state"] = {} if peer is None else {PEER: peer}
            await guard(scope, receive, reply)

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="https://n"
        ) as client:
            for _ in range(times):
                answer = await client.get(path, headers=headers)
            return answer

    return send


async def test_health_is_open_and_nothing_else(ask):
    reviewer = Reviewer()
    assert (await ask(reviewer, "/healthz")).text == "in"
    assert (await ask(reviewer)).status_code == 401
    assert reviewer.asked == []


async def test_a_certificate_is_judged_once(ask, certificate):
    reviewer = Reviewer()
    answer = await ask(reviewer, peer=certificate("x", "g"), times=3)
    assert answer.text == "in"
    ((kind, spec),) = reviewer.asked
    assert kind == "SubjectAccessReview"
    assert spec["user"] == "x"
    assert spec["groups"] == ["g", "system:authenticated"]
    assert spec["resourceAttributes"] == {
        "verb": "get",
        "version": "v1",
        "resource": "nodes",
        "subresource": "proxy",
        "name": "n",
    }


async def test_who_may_not_is_told_so(ask, certificate):
    answer = await ask(Reviewer(allowed=False), peer=certificate("x"))
    assert answer.status_code == 403
    assert "user=x, verb=get, resource=nodes" in answer.text


async def test_tokens_are_reviewed(ask):
    assert (await ask(Reviewer(), token="good")).text == "in"
    assert (await ask(Reviewer(), token="bad")).status_code == 401


async def test_masters_need_no_judgement(ask, certificate):
    reviewer = Reviewer(allowed=False)
    assert (await ask(reviewer, peer=certificate("k", "system:masters"))).text == "in"
    assert reviewer.asked == []


async def test_a_control_plane_that_is_away_lets_nobody_in(ask, certificate):
    answer = await ask(Reviewer(allowed=OSError("away")), peer=certificate("x"))
    assert answer.status_code == 503
