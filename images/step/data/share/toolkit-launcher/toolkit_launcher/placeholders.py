"""Placeholders of a command line, resolved with the task's input at hand.

The grammar is KFP's: `{{$}}` is the whole ExecutorInput as JSON, `{{$.inputs.parameters['x']}}`
and its kin name one thing in it, and an argument may be JSON of one `Concat` or `IfPresent`.
"""

from __future__ import annotations

import json
import re
from typing import Any

PATTERN = re.compile(r"\{\{\$((?:(?!\}\}).)*)\}\}", re.DOTALL)
_REFERENCE = re.compile(
    r"\.(inputs|outputs)\.(parameters|artifacts)\['([^']*)'\](?:\.(\w+)(?:\['([^']*)'\])?)?",
    re.DOTALL,
)

# Where KFP's SDK finds the content of an artifact: `Artifact.path` in kfp.dsl.
_MOUNTS = (("gs://", "/gcs/"), ("minio://", "/minio/"), ("s3://", "/s3/"))
_WORKSPACE = "/kfp-workspace/.artifacts"


class PlaceholderError(Exception):
    """A command holds a placeholder that means nothing."""


def local_path(uri: str) -> str:
    """Give the path under which a URI's content appears in a step."""
    for scheme, folder in _MOUNTS:
        if uri.startswith(scheme):
            return folder + uri[len(scheme) :]
    return uri


def artifact_path(artifact: dict[str, Any]) -> str:
    """Give the path of an artifact in a step; it may be in the workspace of the run."""
    path = local_path(artifact["uri"])
    if (artifact.get("metadata") or {}).get("_kfp_workspace") is True:
        return f"{_WORKSPACE}/{path.lstrip('/')}"
    return path


def as_text(value: Any) -> str:
    """Write a value as it stands in a command line."""
    return value if isinstance(value, str) else json.dumps(value)


class Resolver:
    """Resolves strings for one task.

    `executor_input` is KFP's ExecutorInput as plain data; `constants` maps `.pipeline_job_uuid`
    and the like to their values.
    """

    def __init__(self, executor_input: dict[str, Any], constants: dict[str, str]) -> None:
        self._input = executor_input
        self._constants = dict(constants)
        self._constants[".outputs.output_file"] = executor_input["outputs"]["outputFile"]
        self._constants[".outputMetadataUri"] = executor_input["outputs"]["outputFile"]

    def resolve_inputs(self, names: list[str]) -> None:
        """Resolve what these input values hold of placeholders that only a running task knows."""
        values = self._input.get("inputs", {}).get("parameterValues", {})
        before = json.dumps(self._input)
        for name in names:
            values[name] = self._deep(values[name], before)

    def _deep(self, value: Any, whole: str) -> Any:
        if isinstance(value, str):
            return self.text(value, whole)
        if isinstance(value, list):
            return [self._deep(each, whole) for each in value]
        if isinstance(value, dict):
            return {self.text(k, whole): self._deep(v, whole) for k, v in value.items()}
        return value

    def arguments(self, words: list[str]) -> list[str]:
        """Resolve a command line; `IfPresent` may add several words or none."""
        found: list[str] = []
        whole = json.dumps(self._input)
        for word in words:
            structure = _structure(word)
            if structure is None:
                found.append(self.text(word, whole))
            else:
                found.extend(self._expand(structure, whole))
        return found

    def _expand(self, item: Any, whole: str) -> list[str]:
        if item is None:
            return []
        if isinstance(item, str):
            return [self.text(item, whole)]
        if isinstance(item, list):
            return [word for each in item for word in self._expand(each, whole)]
        if "Concat" in item:
            return ["".join(word for each in item["Concat"] for word in self._expand(each, whole))]
        if "IfPresent" in item:
            body = item["IfPresent"]
            return self._expand(
                body["Then"] if self._present(body["InputName"]) else body.get("Else"), whole
            )
        raise PlaceholderError(f"unknown placeholder structure {sorted(item)!r}")

    def _present(self, name: str) -> bool:
        inputs = self._input.get("inputs", {})
        if inputs.get("parameterValues", {}).get(name) is not None:
            return True
        return bool(inputs.get("artifacts", {}).get(name))

    def text(self, text: str, whole: str) -> str:
        """Resolve one string; `whole` is what `{{$}}` stands for."""
        if "{{$" not in text:
            return text

        def find(match: re.Match[str]) -> str:
            body = match.group(1)
            if body == "":
                return whole
            if body in self._constants:
                return self._constants[body]
            return as_text(self._reference(body))

        return PATTERN.sub(find, text)

    def _reference(self, body: str) -> Any:
        match = _REFERENCE.fullmatch(body)
        if match is None:
            raise PlaceholderError(f"unknown placeholder {{{{${body}}}}}")
        direction, kind, name, field, key = match.groups()
        if kind == "parameters":
            if direction == "inputs":
                return self._input.get("inputs", {}).get("parameterValues", {}).get(name)
            found = self._input["outputs"].get("parameters", {}).get(name)
            if found is None or field != "output_file":
                raise PlaceholderError(f"unknown placeholder {{{{${body}}}}}")
            return found["outputFile"]
        group = self._input.get(direction, {}).get("artifacts", {})
        return _artifact_field(group.get(name), field, key)


def _artifact_field(found: dict[str, Any] | None, field: str | None, key: str | None) -> Any:
    if found is None:
        return None
    if field is None:
        # The artifacts themselves, a list even of one, as KFP's launcher has it.
        return found["artifacts"]
    if not found["artifacts"]:
        return None
    artifact = found["artifacts"][0]
    if field == "path":
        return artifact_path(artifact)
    if field == "metadata":
        metadata = artifact.get("metadata", {})
        return metadata if key is None else metadata.get(key)
    return artifact.get(field)


def _structure(word: str) -> dict[str, Any] | None:
    if not word.lstrip().startswith(('{"Concat"', '{"IfPresent"')):
        return None
    try:
        found = json.loads(word)
    except ValueError:
        return None
    return found if isinstance(found, dict) and len(found) == 1 else None
