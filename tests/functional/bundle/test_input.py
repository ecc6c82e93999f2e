"""What is wrong is told, with its place and its reason, and changes nothing."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import kfp.compiler
import pytest
import yaml

from ..deployment import MODEL, ROOT, Bundle
from ..waiting import wait
from .pipelines import counting

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

DESKTOP = ROOT / "bundle" / "overlays" / "desktop.yaml"


@pytest.fixture
def unchanged(bundle: Bundle) -> Iterator[None]:
    """Neither the applications nor what is uploaded differ afterwards."""

    def all_of_it() -> Any:
        applications = bundle.status()["applications"]
        for application in applications.values():
            for unit in application["units"].values():
                unit["juju-status"].pop("since", None)
        lists = [bundle.call("GET", f"/{each}").json() for each in ("pipelines", "runs")]
        config = [bundle.ask("config_get", model=MODEL, application=name) for name in applications]
        return applications, [each.get("total_size", 0) for each in lists], config

    before = all_of_it()
    yield
    assert all_of_it() == before
    wait(bundle.active, "all units are active")


# -- bundles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ("applications: {pipelines: {options: {paralelism: 3}}}", 'option "paralelism" not found'),
        ("applications: {pipelines: {options: {parallelism: many}}}", 'expected int, got "many"'),
        ("applications: {more: {charm: ../none.charm, scale: 1}}", "none.charm"),
        ("applications: {more: {scale: 1}}", "more"),
        ("relations: [[pipelines:metadatas, metadata]]", "cannot infer endpoint between"),
        ("relations: [[pipelines, nobody]]", "nobody"),
        ("applications: {pipelines: {scale: -1}}", "scale"),
        ("applications: {pipelines: {resources: {none: x}}}", "none"),
        ("applications: {pipelines: {storage: {none: 1G}}}", "none"),
        ("applications: [", "overlay.yaml"),
        ("applications: {../../x: {charm: ./x}}", "../../x"),
        ("a: &a [*a]", ""),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_wrong_bundle_changes_nothing(
    bundle: Bundle, tmp_path: Path, overlay: str, said: str
) -> None:
    (tmp_path / "overlay.yaml").write_text(overlay)
    done = bundle.juju(
        *("deploy", "-m", "toolkit", "--trust", str(ROOT / "bundle" / "bundle.yaml")),
        *("--overlay", str(DESKTOP), "--overlay", str(tmp_path / "overlay.yaml")),
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# -- config ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("parallelism=many", "parallelism"),
        ("parallelism=1.5", "parallelism"),
        ("none=1", "none"),
        ("log-level", "log-level"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_config_that_juju_refuses(bundle: Bundle, setting: str, said: str) -> None:
    if "=" in setting:
        done = bundle.juju("config", "-m", "toolkit", "pipelines", setting, check=False)
        assert done.returncode == 1
        assert said in done.stderr
    else:
        assert bundle.juju("config", "-m", "toolkit", "pipelines", setting).stdout == "info\n"


def test_config_that_the_charm_refuses_leaves_the_service_running(bundle: Bundle) -> None:
    def unit() -> Any:
        return bundle.status()["applications"]["pipelines"]["units"]["pipelines/0"]

    before = bundle.inside("toolkit_pipelines")
    bundle.juju("config", "-m", "toolkit", "pipelines", "parallelism=-1")
    try:
        wait(lambda: unit()["workload-status"]["current"] == "blocked", "it is blocked")
        assert "parallelism" in unit()["workload-status"]["message"]
        assert bundle.call("GET", "/runs").status_code == 200
        assert bundle.inside("toolkit_pipelines") == before
    finally:
        bundle.juju("config", "-m", "toolkit", "pipelines", "--reset", "parallelism")
    wait(bundle.active, "all units are active")
    assert bundle.inside("toolkit_pipelines") == before


# -- pipelines ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A good pipeline, as the SDK compiles it."""
    path = tmp_path_factory.mktemp("spec") / "counting.yaml"
    kfp.compiler.Compiler().compile(counting, str(path))
    return yaml.safe_load(path.read_text())


def upload(bundle: Bundle, content: str | bytes, name: str = "wrong") -> httpx2.Response:
    return bundle.call(
        "POST",
        "/pipelines/upload",
        params={"name": name},
        files={"uploadfile": ("pipeline.yaml", content, "application/yaml")},
    )


def refused(answer: httpx2.Response, said: str) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    message = answer.json()["message"]
    assert re.search(said, message), message[:500]
    assert len(message) < 4000
    assert "Traceback" not in message


def cycle(spec: Any) -> str:
    spec["root"]["dag"]["tasks"]["count"]["dependentTasks"] = ["count-5"]
    return "cycle"


def no_executor(spec: Any) -> str:
    del spec["deploymentSpec"]["executors"]["exec-count"]
    return "exec-count"


def no_component(spec: Any) -> str:
    spec["root"]["dag"]["tasks"]["count"]["componentRef"]["name"] = "comp-none"
    return "comp-none"


def itself(spec: Any) -> str:
    spec["components"]["comp-count"] = {"dag": copy.deepcopy(spec["root"]["dag"])}
    return "comp-count"


def rename(spec: Any, old: str, new: str) -> None:
    changed = json.loads(json.dumps(spec).replace(json.dumps(old), json.dumps(new)))
    spec.clear()
    spec.update(changed)


def path_as_task(spec: Any) -> str:
    rename(spec, "count-2", "../../../escape")
    return "../../../escape"


def path_as_name(spec: Any) -> str:
    spec["pipelineInfo"]["name"] = "../../escape"
    return "name"


def nul_in_name(spec: Any) -> str:
    spec["pipelineInfo"]["name"] = "a\0b"
    return "name"


def large_name(spec: Any) -> str:
    spec["pipelineInfo"]["name"] = "x" * (1 << 20)
    return "name"


def large_task(spec: Any) -> str:
    rename(spec, "count-2", "x" * (1 << 20))
    return "at most 200 bytes|longer than 1024 characters"


def path_as_output(spec: Any) -> str:
    outputs = spec["components"]["comp-count"]["outputDefinitions"]["parameters"]
    outputs["../../../escape"] = {"parameterType": "STRING"}
    return "../../../escape"


@pytest.mark.parametrize(
    "spoil",
    [
        *(cycle, no_executor, no_component, itself, path_as_task, path_as_name, nul_in_name),
        *(large_name, large_task, path_as_output),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_wrong_pipeline_is_refused(
    bundle: Bundle, spec: Any, spoil: Callable[[Any], str]
) -> None:
    changed = copy.deepcopy(spec)
    said = spoil(changed)
    refused(upload(bundle, json.dumps(changed)), said)
    refused(
        bundle.call("POST", "/runs", json={"display_name": "r", "pipeline_spec": changed}), said
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("../../x", "name"), ("a\0b", "name"), ("x" * 5000, "name"), ("a\x1b[31mb", "name")],
)
@pytest.mark.usefixtures("unchanged")
def test_a_wrong_name_is_refused(bundle: Bundle, spec: Any, name: str, said: str) -> None:
    refused(upload(bundle, json.dumps(spec), name), said)
    body = {"display_name": name, "pipeline_spec": spec, "runtime_config": {}}
    if "/" not in name:  # A run's name is shown, and is no part of a path.
        refused(bundle.call("POST", "/runs", json=body), said)


@pytest.mark.usefixtures("unchanged")
def test_a_name_of_a_megabyte_in_the_body(bundle: Bundle, spec: Any) -> None:
    body = {"display_name": "x" * (1 << 20), "pipeline_spec": spec}
    refused(bundle.call("POST", "/runs", json=body), "name")
    refused(bundle.call("POST", "/experiments", json={"display_name": "x" * (1 << 20)}), "name")


@pytest.mark.usefixtures("unchanged")
def test_a_spec_of_12_megabytes(bundle: Bundle, spec: Any) -> None:
    large = copy.deepcopy(spec)
    large["pipelineInfo"]["description"] = "x" * (12 << 20)
    refused(upload(bundle, json.dumps(large)), "large")
    refused(
        bundle.call("POST", "/runs", json={"display_name": "r", "pipeline_spec": large}), "large"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"\xff\xfe\x00",
        b"- 1",
        b"a: !!python/object/apply:os.system [id]",
        b"[" * 100_000,
        b"a: &a [*a]",
        b"\n".join(b"a%d: &a%d [%s]" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9) if i else b"1")
                   for i in range(12)),
    ],
    ids=["empty", "cut", "bytes", "list", "tag", "deep", "endless", "laughs"],
)  # fmt: skip
@pytest.mark.usefixtures("unchanged")
def test_what_is_no_pipeline_is_refused(bundle: Bundle, content: bytes) -> None:
    refused(upload(bundle, content), "")
