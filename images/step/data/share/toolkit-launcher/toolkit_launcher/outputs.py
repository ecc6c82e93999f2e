"""What a task produced: the executor's own record first, then the files of parameters."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from . import content, files, placeholders

MAX_RECORD = 16 * 1024 * 1024
"""Most bytes of parameters and metadata that one task may produce."""


class OutputError(Exception):
    """What the task left behind cannot be read."""


def collect(task: dict[str, Any]) -> dict[str, Any]:
    """Read a task's outputs.

    Args:
        task: the input file's content.

    Returns:
        {"parameters": {name: value}, "artifacts": {name: [{name, uri, metadata}]}}. A parameter
        that was not written is left out.

    Raises:
        OutputError: a file is not what its type says; the message names the output.
    """
    outputs = task["executor_input"]["outputs"]
    record = _record(outputs["outputFile"])
    parameters = _parameters(record, outputs, task["output_types"])
    artifacts = {
        name: _artifacts(name, listed["artifacts"], record, task["folder"])
        for name, listed in outputs.get("artifacts", {}).items()
    }
    found = {"parameters": parameters, "artifacts": artifacts}
    size = len(json.dumps(found))
    if size > MAX_RECORD:
        raise OutputError(
            f"output parameters and metadata take {size} bytes; at most {MAX_RECORD} are kept: "
            "write large data to an artifact"
        )
    return found


def note_digests(folder: str, artifacts: dict[str, list[dict[str, Any]]]) -> None:
    """Add to the record of artifacts what each holds (`digest`, see `content`).

    All of them are read, at once and whatever their size: they were just synced, which takes
    longer, and are in memory still. One without a digest says why in the log.

    Args:
        folder: the attempt's own; what is elsewhere is not read.
        artifacts: as `collect` gives them.
    """
    for name, listed in artifacts.items():
        for each in listed:
            path = os.path.normpath(placeholders.local_path(each["uri"]))
            if not path.startswith(folder.rstrip("/") + "/"):
                continue
            try:
                each["digest"] = content.digest(path)
            except (content.UnknownError, OSError) as error:
                sys.stderr.write(f"output artifact {name!r} has no digest: {error}\n")


def _record(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    try:
        if os.path.getsize(path) > MAX_RECORD:
            raise OutputError(f"the executor's output has more than {MAX_RECORD} bytes")
        found = files.read_json(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"the executor's output cannot be read: {error}") from error
    for key in ("parameterValues", "artifacts"):
        if found.get(key) is not None and not isinstance(found[key], dict):
            raise OutputError(f"the executor's output has no map under {key!r}")
    return found


def _parameters(
    record: dict[str, Any], outputs: dict[str, Any], types: dict[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    written = record.get("parameterValues") or {}
    for name, output in outputs.get("parameters", {}).items():
        if name in written:
            found[name] = written[name]
        elif os.path.isfile(output["outputFile"]):
            found[name] = _parameter(name, output["outputFile"], types[name])
        elif os.path.lexists(output["outputFile"]):
            raise OutputError(f"output parameter {name!r} is no file: {output['outputFile']}")
    return found


def _parameter(name: str, path: str, kind: str) -> Any:
    try:
        if os.path.getsize(path) > MAX_RECORD:
            raise OutputError(
                f"output parameter {name!r} has more than {MAX_RECORD} bytes: make it an artifact"
            )
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if kind == "STRING":
            return text
        if kind == "BOOLEAN":
            return json.loads(text.strip().lower())
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"output parameter {name!r} is declared {kind}, but its file holds none: {error}"
        ) from error


def _artifacts(
    name: str, declared: list[dict[str, Any]], record: dict[str, Any], folder: str
) -> list[dict[str, Any]]:
    written = (record.get("artifacts") or {}).get(name) or {}
    listed = written.get("artifacts") if isinstance(written, dict) else None
    if not listed:
        listed = declared
    found = []
    for index, each in enumerate(listed):
        base = declared[index] if index < len(declared) else declared[0]
        if not isinstance(each, dict):
            raise OutputError(f"artifact {name!r}: the executor's output has no map for it")
        uri = each.get("uri") or base["uri"]
        metadata = dict(base.get("metadata") or {})
        metadata.update(each.get("metadata") or {})
        custom = each.get("custom_path") or each.get("customPath")
        if custom:
            _deliver(name, custom, placeholders.local_path(uri))
        path = placeholders.local_path(uri)
        if path.startswith(folder.rstrip("/") + "/"):
            files.sync_tree(path)
        found.append({"name": each.get("name") or base["name"], "uri": uri, "metadata": metadata})
    return found


def _deliver(name: str, source: str, target: str) -> None:
    """Copy what the component wrote elsewhere (`Artifact.set_path`) to the artifact's place."""
    if os.path.realpath(source) == os.path.realpath(target) or not os.path.exists(source):
        return
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except (OSError, shutil.Error) as error:
        raise OutputError(f"artifact {name!r} cannot be copied from {source}: {error}") from error
