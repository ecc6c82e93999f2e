"""Charms know Juju and Pebble, never an engine, a workload's package or a substrate."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHARM_FILES = sorted(ROOT.glob("charms/*/src/**/*.py"))
NEVER = {
    "kfp", "mlflow", "minijuju", "sandbox", "sqlalchemy", "starlette", "tinykube", "toolkit_cli",
    "toolkit_identity", "toolkit_jobs", "toolkit_launcher", "toolkit_metadata",
    "toolkit_pipelines", "uvicorn",
}  # fmt: skip


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_there_are_charms():
    assert {file.parents[1].name for file in CHARM_FILES} >= {"metadata", "pipelines"}


@pytest.mark.parametrize("file", CHARM_FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_charm_imports_no_workload_and_no_substrate(file):
    assert not set(imported(file)) & NEVER
