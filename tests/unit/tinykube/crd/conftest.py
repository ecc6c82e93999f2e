"""Definitions that are established without waiting for a loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tinykube import kinds, objects
from tinykube.crd.establisher import Establisher

DEFINITIONS = Path(__file__).parents[3] / "functional" / "tinykube" / "definitions"


@pytest.fixture
def establisher(registry) -> Establisher:
    loop = Establisher(registry)
    loop.load()
    return loop


@pytest.fixture
def establish(create, establisher, registry):
    """Store a definition and have its names accepted; gives its resources by version."""

    def make(definition):
        name = create(kinds.DEFINITIONS, definition)["metadata"]["name"]
        while establisher.step():
            pass
        stored = registry.store.load(kinds.DEFINITIONS.key, "", name)
        spec = stored["spec"]
        return {
            version["name"]: registry.catalog.by_path(
                spec["group"], version["name"], spec["names"]["plural"]
            )
            for version in spec["versions"]
        }

    return make


@pytest.fixture
def experiments():
    return yaml.safe_load((DEFINITIONS / "experiments.yaml").read_text())


@pytest.fixture
def services():
    return objects.copy(yaml.safe_load((DEFINITIONS / "services.yaml").read_text()))


@pytest.fixture
def experiment():
    """A body that the definition of experiments takes."""

    def make(name="one", **spec):
        return {
            "apiVersion": "tuning.example.com/v1beta1",
            "kind": "Experiment",
            "metadata": {"name": name},
            "spec": {
                "objective": {"type": "maximize", "objectiveMetricName": "accuracy"},
                "parameters": [
                    {
                        "name": "lr",
                        "parameterType": "double",
                        "feasibleSpace": {"min": "0.1", "max": "1"},
                    }
                ],
                **spec,
            },
        }

    return make


@pytest.fixture
def definition():
    """A small definition around a schema of `spec`."""

    def make(spec=None, plural="things", kind="Thing", **version):
        props = {
            "type": "object",
            "properties": {"spec": {"type": "object"} if spec is None else spec},
        }
        return {
            "metadata": {"name": f"{plural}.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": props},
                        **version,
                    }
                ],
            },
        }

    return make
