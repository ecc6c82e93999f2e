"""No API of the deployment answers without its token, nor to a foreign Host or Origin."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator

import httpx2
import pytest

from ..deployment import Bundle
from ..processes import processes
from ..waiting import wait


@pytest.fixture(scope="module")
def web() -> Iterator[httpx2.Client]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with httpx2.Client(trust_env=False, timeout=30, verify=context) as client:
        yield client


def targets(bundle: Bundle) -> list[tuple[str, str]]:
    """An address that asks for a token, and the token; of services and of units."""
    units = {}
    for name, application in bundle.status()["applications"].items():
        (unit,) = application["units"].values()
        port = str(unit["open-ports"][0]).partition("/")[0]
        units[name] = f"http://{unit['address']}:{port}"
    admin = (bundle.tinykube / "pki" / "admin.token").read_text().strip()
    paths = {
        "pipelines": "/apis/v2beta1/runs",
        "metadata": "/api/2.0/mlflow/experiments/search?max_results=1",
    }
    services = {"pipelines": bundle.pipelines, "metadata": bundle.metadata}
    return [
        *((f"{services[name]}{path}", bundle.token(name)) for name, path in paths.items()),
        *((f"{units[name]}{path}", bundle.token(name)) for name, path in paths.items()),
        (f"{bundle.kubernetes}/api/v1/namespaces/toolkit/secrets", admin),
    ]


def test_the_own_token_lets_in(bundle: Bundle, web: httpx2.Client) -> None:
    for url, token in targets(bundle):
        assert web.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200, url


def test_no_other_token_does(bundle: Bundle, web: httpx2.Client) -> None:
    tried = targets(bundle)
    tokens = {token for _, token in tried}
    assert len(tokens) == 3
    for url, own in tried:
        headers: list[dict[str, str]] = [
            *({"Authorization": f"Bearer {token}"} for token in tokens - {own}),
            *({"Authorization": text} for text in ("", "Bearer", "Bearer nothing", "Basic Og==")),
            *({"Authorization": f"Bearer {text}"} for text in (own[:-1], own + "x", own.lower())),
            {"kubeflow-userid": "admin", "X-Remote-User": "admin", "X-Forwarded-For": "127.0.0.1"},
            {"Cookie": f"token={own}"},
            {},
        ]
        for each in headers:
            assert web.get(url, headers=each).status_code == 401, (url, each)
        assert web.get(url, params={"token": own, "access_token": own}).status_code == 401, url


def test_a_foreign_host_is_refused_with_the_token_too(bundle: Bundle, web: httpx2.Client) -> None:
    for url, token in targets(bundle):
        if url.startswith("https"):
            continue  # A page cannot be served under another name by TLS of an authority it lacks.
        for host in ("evil.example.com", "127.0.0.1.evil.example.com", "localhost@evil.example"):
            headers = {"Authorization": f"Bearer {token}", "Host": host}
            assert web.get(url, headers=headers).status_code in (400, 403), (url, host)


def test_a_foreign_origin_is_refused_with_the_token_too(
    bundle: Bundle, web: httpx2.Client
) -> None:
    for url, token in targets(bundle):
        for origin in ("https://evil.example.com", "null", "http://localhost:1"):
            headers = {"Authorization": f"Bearer {token}", "Origin": origin}
            for method in ("GET", "POST", "DELETE"):
                answer = web.request(method, url, headers=headers)
                # A sandboxed page of the service itself is "null" as well: it may look, and
                # nobody's page is told the answer.
                looks = origin == "null" and method == "GET" and url.startswith("http:")
                assert answer.status_code == (200 if looks else 403), (method, url, origin)
                assert "access-control-allow-origin" not in answer.headers


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs iproute2's ss")
def test_every_port_that_listens_is_on_loopback_and_known(bundle: Bundle) -> None:
    """What listens in the deployment: the services, their balancer, tinykube, Pebbles' health."""
    pids = {pid for pid in processes() if bundle.contains(pid)}
    pids |= {pid for pid, line in processes().items() if str(bundle.folder) in line}
    listing = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    found = [
        line.split()[3]
        for line in listing.splitlines()
        if any(f"pid={pid}," in line for pid in pids)
    ]
    assert found
    ports = {json.loads(address.rpartition(":")[2]) for address in found}
    assert all(address.startswith("127.") for address in found), found
    known = {5000, 8888, 38813, int(bundle.kubernetes.rpartition(":")[2])}
    assert ports <= known, ports


def test_a_pebbles_port_tells_its_health_and_no_more(bundle: Bundle, web: httpx2.Client) -> None:
    for application in bundle.status()["applications"].values():
        (unit,) = application["units"].values()
        at = f"http://{unit['address']}:38813"
        # A check that failed while the last test had its service stopped runs again in seconds.
        wait(lambda at=at: web.get(f"{at}/v1/health").status_code == 200, f"{at} is healthy")
        for path in (
            "services",
            "plan?format=yaml",
            "logs",
            "files?action=list&path=/",
            "changes",
        ):
            assert web.get(f"{at}/v1/{path}").status_code == 401, path
        for path, body in (
            ("exec", {"command": ["true"]}),
            ("services", {"action": "stop", "services": ["metadata"]}),
            ("layers", {"action": "add", "label": "x", "format": "yaml", "layer": ""}),
        ):
            assert web.post(f"{at}/v1/{path}", json=body).status_code == 401, path
