"""What the cache knows an execution by: a digest of all that its outputs depend on.

The rules are KFP's (`cacheutils` of its backend): within one pipeline, the same image, command,
arguments, environment and claims, with the same inputs and declared outputs, give the same. Its
secrets, config maps, resources and node do not count. Packages that a component installs are in
its command. Three things count besides, since the outputs depend on them: an input artifact is
known by its content where a digest of that was computed, and by its URI elsewhere (KFP takes its
name); so do a run's id, name and times if the command names them; and what init containers run.

A key that the author gave (`set_caching_options(cache_key=...)`) stands for inputs and container:
the component's name and declared outputs are all that counts beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .events import Values
from .spec.model import Component, Container
from .spec.placeholders import PATTERN

_FORMAT: Final = 1
"""Counted up when the same digest comes to mean something else."""


def given(pipeline: str, component: Component, key: str) -> str:
    """Give the fingerprint of an execution whose author gave a key.

    Args:
        pipeline: the pipeline's name.
        component: what runs.
        key: the author's.
    """
    return _digest(
        {"pipeline": pipeline, "key": [component.name, key], "outputs": _outputs(component)}
    )


def computed(
    pipeline: str,
    component: Component,
    inputs: Values,
    *,
    constants: Mapping[str, str],
    claims: Iterable[str] = (),
    digests: Mapping[str, str],
) -> str:
    """Give the fingerprint of an execution.

    Args:
        pipeline: the pipeline's name.
        component: what runs; a container.
        inputs: what it gets.
        constants: placeholders of run and task with their values (`.pipeline_job_uuid`, ...).
        claims: the names of the persistent volume claims that it mounts.
        digests: of the content of input artifacts, by URI, where they are known.
    """
    container = component.body
    assert isinstance(container, Container)  # noqa: S101 - nothing else is executed
    before = [
        [each.name, each.image, [*each.command, *each.args], dict(each.env), dict(each.mounts)]
        for each in container.kubernetes.before
    ]
    return _digest(
        {
            "pipeline": pipeline,
            "image": container.image,
            "command": [*container.command, *container.args],
            "env": dict(container.env),
            "claims": sorted(set(claims)),
            "constants": _named(container, constants),
            "parameters": dict(inputs.parameters),
            "artifacts": {
                name: [
                    {
                        "name": each.name,
                        "type": each.type,
                        "metadata": dict(each.metadata),
                        "content": digests.get(each.uri) or each.uri,
                    }
                    for each in listed
                ]
                for name, listed in inputs.artifacts.items()
            },
            "outputs": _outputs(component),
            # Only where there are some: what was kept before is found by the key it had.
            **({"before": before} if before else {}),
        }
    )


def _named(container: Container, constants: Mapping[str, str]) -> dict[str, str]:
    """Give the constants that the container's texts ask for."""
    texts = (container.image, *container.command, *container.args, *container.env.values())
    asked = {name for text in texts for name in PATTERN.findall(text)}
    return {name: constants[name] for name in asked & constants.keys()}


def _outputs(component: Component) -> dict[str, Any]:
    return {
        "parameters": {name: str(kind) for name, kind in component.outputs.parameters.items()},
        "artifacts": {
            name: [each.type.title, each.type.version, each.is_list, dict(each.metadata)]
            for name, each in component.outputs.artifacts.items()
        },
    }


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps({"format": _FORMAT, **content}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
