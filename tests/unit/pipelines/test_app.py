from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.testclient import TestClient

from toolkit_pipelines import api, app, settings
from toolkit_pipelines.api.context import Context

TOKEN = "t" * 32


@pytest.fixture
def served(tmp_path: Path) -> settings.Settings:
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"main:{TOKEN}\n")
    return settings.from_data(
        {
            "name": "p",
            "host": "127.0.0.9",
            "state": str(tmp_path),
            "pipeline_root": str(tmp_path / "root"),
            "environments": str(tmp_path / "environments"),
            "token_file": str(tokens),
            "allowed_hosts": ["ml.example.com"],
            "default_cpu": "500m",
            "default_memory": "1Gi",
        }
    )


@pytest.fixture
def guarded(context: Context, served: settings.Settings) -> TestClient:
    application = app.guarded(api.application(context), served)
    return TestClient(application, base_url="http://ml.example.com", raise_server_exceptions=False)


def routes(found: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in found:
        if isinstance(route, Mount):
            yield from routes(route.routes, prefix + route.path)
        else:
            assert isinstance(route, Route)
            path = re.sub(r"\{[^}]*\}", "x", prefix + route.path)
            for method in route.methods or ():
                yield method, path


def test_no_route_answers_without_its_token(context: Context, guarded: TestClient) -> None:
    application = api.application(context)
    assert isinstance(application, Starlette)
    listed = list(routes(application.routes))
    assert len(listed) > 40
    assert {path for _, path in listed} >= {"/healthz", "/apis/v2beta1/runs/x:terminate"}
    for method, path in listed:
        if path in api.OPEN_PATHS:
            continue
        for header in ({}, {"Authorization": "Bearer nothing"}, {"kubeflow-userid": "admin"}):
            reply = guarded.request(method, path, headers=header)
            assert reply.status_code == 401, (method, path, header)


def test_what_is_open_says_nothing_of_the_data(guarded: TestClient) -> None:
    for path in api.OPEN_PATHS:
        assert guarded.get(path).status_code == 200
        assert guarded.post(path).status_code == 401


def test_the_token_lets_in(guarded: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/apis/v2beta1/runs", headers=headers).status_code == 200
    own = guarded.get("/apis/v2beta1/runs", headers={**headers, "Host": "127.0.0.9:8888"})
    assert own.status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example.com"}, {"Origin": "https://evil.example.com"}]
)
def test_foreign_hosts_and_origins(guarded: TestClient, headers: dict[str, str]) -> None:
    reply = guarded.get(
        "/apis/v2beta1/runs", headers={"Authorization": f"Bearer {TOKEN}", **headers}
    )
    assert reply.status_code == 403


def test_the_pods_carry_the_services_name_and_defaults(served: settings.Settings) -> None:
    options = app.pod_options(served)
    assert options.selector == "toolkit.canonical.com/pipelines=p"
    assert options.resources.memory_limit == "1Gi"
    assert options.resources.cpu_limit == ""
    assert options.gpus.count == 0


def test_where_packages_come_from(served: settings.Settings) -> None:
    assert app.uv(served) == {}
    mirrored = dataclasses.replace(served, index_url="https://pypi.example.com/simple")
    assert app.uv(mirrored) == {"UV_DEFAULT_INDEX": "https://pypi.example.com/simple"}
    assert app.uv(dataclasses.replace(served, offline=True)) == {"UV_OFFLINE": "1"}


def test_the_pods_have_what_the_operator_says(served: settings.Settings) -> None:
    pods = {"gpu": {"count": 2}, "queue": "ml", "runtime_class": "nvidia"}
    options = app.pod_options(dataclasses.replace(served, pods=pods))
    assert options.gpus.count == 2
    assert (options.queue, options.placement.runtime_class) == ("ml", "nvidia")
    assert options.resources.memory_limit == "1Gi"


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("10.1.2.3", 8888, "http://10.1.2.3:8888"),
        ("fd00::7", 8888, "http://[fd00::7]:8888"),
        ("pipelines-0.pipelines-endpoints", 80, "http://pipelines-0.pipelines-endpoints:80"),
        # Nobody reaches these by what the settings say.
        *(("0.0.0.0", 8888, ""), ("::", 8888, ""), ("127.0.0.1", 0, "")),
        *(("ü", 1, ""), ("a" * 63, 1, "")),
    ],
)
def test_where_others_reach_a_service(
    served: settings.Settings, host: str, port: int, found: str
) -> None:
    assert app.address(dataclasses.replace(served, host=host, port=port)) == found


def test_what_has_to_be_elsewhere_to_be_shared(served: settings.Settings) -> None:
    database, store = Path("/login"), "s3://bucket/a"
    for options, shared in (
        ({}, False),
        ({"database_file": database}, False),
        ({"artifact_store": store}, False),
        ({"database_file": database, "artifact_store": store}, True),
    ):
        assert app.shares(dataclasses.replace(served, **options)) is shared


def test_one_process_a_state_folder(tmp_path: Path) -> None:
    second = app.locked(tmp_path, patience=0)
    with app.locked(tmp_path), pytest.raises(app.InUseError, match="in use"):
        second.__enter__()
    with app.locked(tmp_path, patience=0):
        pass
    assert (tmp_path / "lock").stat().st_mode & 0o077 == 0


def test_a_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holder, fcntl.LOCK_EX)
    monkeypatch.setattr(app.time, "sleep", lambda _: os.close(holder))
    with app.locked(tmp_path, patience=60):
        pass


def test_a_service_without_a_store_does_not_load_its_library() -> None:
    """27 MiB that only those pay who set one."""
    script = "import sys, toolkit_pipelines.app; sys.exit('botocore' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(app.__file__).parents[1])},
    )
