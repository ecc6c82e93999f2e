"""The example compiles to what the service runs, and what needs no packages works as written."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from toolkit_pipelines import installs, spec
from toolkit_pipelines.spec.model import Container

PATH = Path(__file__).parents[3] / "examples" / "breast_cancer" / "pipeline.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    loader = importlib.util.spec_from_file_location("example_breast_cancer", PATH)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kfp's imports
        loader.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pipeline(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> spec.Pipeline:
    path = tmp_path_factory.mktemp("example") / "pipeline.yaml"
    example.compiler.Compiler().compile(example.breast_cancer, str(path))
    return spec.load(path.read_bytes())


def test_it_uses_nothing_that_is_not_built(pipeline: spec.Pipeline) -> None:
    assert pipeline.size == 10
    assert spec.arguments(pipeline.root.inputs, {}) == {
        "model_name": "breast-cancer",
        "test_share": 0.3,
        "seed": 7,
    }


def test_the_models_are_trained_side_by_side(pipeline: spec.Pipeline) -> None:
    training = [t for t in pipeline.dag.tasks.values() if t.component.startswith("comp-train")]
    assert len(training) == 3
    assert {task.upstream for task in training} == {("load-and-split",)}


def test_every_package_is_pinned_and_two_environments_do(pipeline: spec.Pipeline) -> None:
    asked = set()
    for component in pipeline.components.values():
        assert isinstance(component.body, Container)
        for group in installs.read(component.body.command).groups:
            if not group.no_deps:
                asked.add(group.requirements)
                assert all("==" in each for each in group.requirements)
    assert len(asked) == 2


def test_the_best_of_three_is_kept(example: ModuleType, tmp_path: Path) -> None:
    models = []
    for kind in ("a", "b", "c"):
        path = tmp_path / kind
        path.write_text(kind)
        models.append(SimpleNamespace(path=str(path), metadata={"kind": kind}))
    best = SimpleNamespace(path=str(tmp_path / "best"), metadata={})
    choice: Any = example.choose_best.python_func(*models, 0.5, 0.9, 0.7, best)
    assert (choice.kind, choice.score) == ("b", 0.9)
    assert Path(best.path).read_text() == "b"
    assert best.metadata == {"kind": "b", "roc_auc": 0.9}


def test_submitting_starts_a_run_in_an_experiment_of_its_own(example: ModuleType) -> None:
    calls: list[Any] = []

    class Client:
        def create_run_from_pipeline_func(self, *args: Any, **kwargs: Any) -> str:
            calls.append((args, kwargs))
            return "run"

    assert example.submit(Client(), seed=3) == "run"
    ((pipeline,), options) = calls[0]
    assert pipeline is example.breast_cancer
    assert options == {
        "arguments": {"seed": 3},
        "experiment_name": "breast-cancer",
        "enable_caching": None,
    }
