"""The pipeline root: where the files of runs lie, on the volume and by URI.

    ROOT/[PLACE/]PIPELINE/RUN/TASK/SALT.json     an attempt's input, written by the engine
                                  SALT.log      what it printed, once it has ended
                                  SALT/         the attempt's own folder: all that a step may write

The URIs are KFP's: a root such as `minio://mlpipeline/v2/artifacts` (KFP's own default) is the
folder `/minio/mlpipeline/v2/artifacts` to the SDK inside a step, so the volume is mounted there
and `Artifact.path`, `Artifact.uri` and `dsl.get_uri()` agree without anything being copied.
Clients see a stable URI that does not tell where the volume is. No such object store has to exist.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import naming, provenance
from .documents import MAX_DOCUMENT, Documents, Kind, VolumeDocuments
from .events import Artifact, Json, Values
from .spec import SpecError, values
from .spec.model import ArtifactType, Component

DEFAULT_URI: Final = "minio://mlpipeline/v2/artifacts"
MAX_RESULT: Final = MAX_DOCUMENT
"""Largest record of an attempt that is read, in bytes."""
STARTED: Final = ".started"
"""In an attempt's folder: a launcher has begun it."""
RESULT: Final = "result.json"
"""In an attempt's folder: how it ended. Written last, so that all else is there for good."""
RESTORING: Final = ".restore"
"""In the root: what `restoration` keeps. No run's files are in there."""
MAX_DEPTH: Final = 8
"""How many levels below the root a run's folder may be."""
_TURNS: Final = 10
"""How often a folder is deleted before it is given up that something always comes into it."""
RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SCHEMES: Final = (("gs://", "/gcs/"), ("minio://", "/minio/"), ("s3://", "/s3/"))
_DIGEST: Final = re.compile(r"((tree-)?sha256:[0-9a-f]{64}|none)?")
_PLACE: Final = re.compile(r"[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*")


class OutputError(Exception):
    """What an attempt left behind is not what its component declares."""


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended, by its launcher's record.

    `packages` is what it could import, if it installed any for itself.
    """

    exit_code: int
    message: str
    outputs: Values
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The files of one attempt; paths are relative to the root."""

    run: str
    task: str
    salt: str

    @property
    def run_id(self) -> str:
        """The id of its run."""
        return self.run.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Its own folder."""
        return f"{self.task}/{self.salt}"

    @property
    def staging(self) -> str:
        """What a step without the volume has sent and not yet committed."""
        return f"{self.folder}.part"

    @property
    def input(self) -> str:
        """The input file."""
        return f"{self.task}/{self.salt}.json"

    @property
    def log(self) -> str:
        """What it printed."""
        return f"{self.task}/{self.salt}.log"


@dataclass(frozen=True, slots=True)
class PipelineRoot:
    """The root.

    Attributes:
        folder: where the volume is in this process.
        uri: what it is called in URIs; starts with gs://, minio:// or s3://. An absolute path,
            which the SDK takes as it is, does where steps see the same paths as this process.
        documents: where the documents of attempts are; on the volume, if nothing is said.
    """

    folder: Path
    uri: str = DEFAULT_URI
    documents: Documents = dataclasses.field(default=None, compare=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.documents is None:
            object.__setattr__(self, "documents", VolumeDocuments(self.folder))
        known = ("/", *(scheme for scheme, _ in _SCHEMES))
        if not self.uri.startswith(known) or self.uri.endswith("/"):
            raise ValueError(
                f"the pipeline root's URI must start with gs://, minio://, s3:// or / and end "
                f"without a slash, got {self.uri!r}"
            )

    @property
    def mount(self) -> str:
        """Where the root is inside a step."""
        return self.local(self.uri)

    @staticmethod
    def local(uri: str) -> str:
        """Give the path that KFP's SDK maps a URI to."""
        for scheme, folder in _SCHEMES:
            if uri.startswith(scheme):
                return folder + uri[len(scheme) :]
        return uri

    def place(self, asked: str) -> str:
        """Give the folder below this root that a run's or a spec's `pipeline_root` means.

        "" and the root's own URI are the root itself; a URI below it and a relative path are a
        folder in it. KFP's default is this root wherever it is.

        Raises:
            ValueError: it is somewhere else.
        """
        bare = asked.rstrip("/")
        if not asked or bare in self._names:
            return ""
        below = self.below(bare) or bare
        parts = below.split("/")
        plain = not {".", ".."}.intersection(parts) and parts[0] != RESTORING
        if not _PLACE.fullmatch(below) or not plain:
            raise ValueError(
                f"the pipeline root {asked[:200]!r} is not below {self.uri}, where this service "
                "keeps artifacts; leave it out, or give a path below it"
            )
        return below

    @property
    def _names(self) -> tuple[str, ...]:
        # Artifacts that were kept before an object store was set are still called by the default.
        return (self.uri, DEFAULT_URI)

    def below(self, uri: str) -> str | None:
        """Give the path of a URI from this root; None if it is not below it, or leaves it."""
        for name in self._names:
            if uri.startswith(f"{name}/"):
                found = uri[len(name) + 1 :]
                plain = not any(part in ("", ".", "..") for part in found.split("/"))
                return found if plain and "\0" not in found else None
        return None

    def attempt(self, place: str, pipeline: str, run_id: str, task: str, attempt: int) -> Attempt:
        """Give the files of an attempt of the task at a path."""
        parts = [place, naming.slug(pipeline, 100) or "pipeline", run_id]
        run = "/".join(part for part in parts if part)
        name = task.rpartition("/")[2].replace(" ", "-")
        return Attempt(run, f"{run}/{name}", naming.salt(run_id, task, attempt))

    def executor_input(self, attempt: Attempt, component: Component, inputs: Values) -> Json:
        """Give KFP's ExecutorInput for an attempt, as plain data."""
        home = f"{self.mount}/{attempt.folder}"
        types = component.inputs.artifacts
        return {
            "inputs": {
                "parameterValues": dict(inputs.parameters),
                "artifacts": {
                    name: {"artifacts": [_runtime(each) for each in listed]}
                    for name, listed in inputs.artifacts.items()
                    if name in types
                },
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": f"{home}/{name}"} for name in component.outputs.parameters
                },
                "artifacts": {
                    name: {
                        "artifacts": [
                            _runtime(
                                Artifact(
                                    name,
                                    output.type.title,
                                    f"{self.uri}/{attempt.folder}/{name}",
                                    output.metadata,
                                ),
                                output.type,
                            )
                        ]
                    }
                    for name, output in component.outputs.artifacts.items()
                },
                "outputFile": f"{home}/executor_output.json",
            },
        }

    def imported(self, attempt: Attempt, inputs: Values) -> list[str]:
        """Give the folders of other runs' attempts that made input artifacts.

        Only these are made by the engine: what is in them may be links that a step made, to be
        followed where nothing else is in sight.

        Raises:
            OutputError: one is below this root, but is no artifact of a run.
        """
        found: dict[str, None] = {}
        for listed in inputs.artifacts.values():
            for each in listed:
                below = self.below(each.uri)
                if each.in_workspace or below is None or below.startswith(f"{attempt.run}/"):
                    continue
                parts = below.split("/")
                salts = [n for n, part in enumerate(parts[:-1]) if _SALT.fullmatch(part)]
                if not salts:
                    raise OutputError(f"{each.uri[:200]!r} is no artifact of a run")
                found["/".join(parts[: salts[0] + 1])] = None
        return list(found)

    def prepare(self, attempt: Attempt, task: Mapping[str, Json]) -> None:
        """Make room for an attempt and write its input; again and again if need be."""
        self.documents.write(attempt.folder, Kind.INPUT, json.dumps(task))

    def claimed(self, attempt: Attempt) -> bool:
        """Tell whether a launcher has begun the attempt, ever."""
        return self.documents.has(attempt.folder, Kind.CLAIM)

    def result(self, attempt: Attempt, component: Component) -> Result | None:
        """Read how an attempt ended; None if its launcher wrote no record.

        Raises:
            OutputError: the record is damaged, or does not match what the component declares.
            StoreError: the database that has it does not answer.
        """
        try:
            content = self.documents.read(attempt.folder, Kind.RESULT)
            if not content:
                # An empty one is what a loss of power may leave of it.
                return None
            data = json.loads(content)
            code, message = int(data["exit_code"]), str(data["message"])
            if code != 0:
                return Result(code, message, Values())
            packages = provenance.listed(data.get("packages"))
            return Result(code, message, self._outputs(attempt, component, data), packages)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OutputError(f"the step's record cannot be read: {error}") from error

    def _outputs(self, attempt: Attempt, component: Component, data: Any) -> Values:
        parameters: dict[str, Json] = {}
        for name, value in data["parameters"].items():
            kind = component.outputs.parameters.get(name)
            if kind is None:
                raise OutputError(f"the component declares no output parameter {name[:80]!r}")
            try:
                parameters[name] = values.convert(kind, value, f"output parameter {name!r}")
            except SpecError as error:
                raise OutputError(str(error)) from error
        artifacts: dict[str, tuple[Artifact, ...]] = {}
        for name, listed in data["artifacts"].items():
            declared = component.outputs.artifacts.get(name)
            if declared is None:
                raise OutputError(f"the component declares no output artifact {name[:80]!r}")
            artifacts[name] = tuple(
                self._artifact(attempt, name, declared.type.title, each) for each in listed
            )
        return Values(parameters, artifacts)

    def _artifact(self, attempt: Attempt, output: str, title: str, data: Any) -> Artifact:
        uri = str(data["uri"])
        if len(uri) > 4096 or not uri.isprintable():
            raise OutputError(f"output artifact {output!r}: its URI is not one: {uri[:80]!r}")
        below = self.below(uri)
        inside = below is not None and below.startswith(f"{attempt.run}/")
        if uri.startswith(tuple(f"{name}/" for name in self._names)) and not inside:
            raise OutputError(
                f"output artifact {output!r}: {uri[:200]!r} belongs to another run; import it "
                "in the pipeline instead"
            )
        metadata = data["metadata"]
        if not isinstance(metadata, dict):
            raise OutputError(f"output artifact {output!r}: its metadata is no map")
        # Launchers of before computed none.
        digest = data.get("digest", "")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise OutputError(f"output artifact {output!r}: no digest: {str(digest)[:80]!r}")
        return Artifact(str(data["name"])[:1000], title, uri, _finite(metadata), digest)

    def forget(self, folders: Iterable[str]) -> None:
        """Delete all files of a run on the volume: its logs, its inputs, its artifacts.

        Args:
            folders: its folders, as `run_folders` gives them.

        Raises:
            OSError: not all of them can be deleted.
        """
        for folder in folders:
            _remove(self.folder / folder)

    def run_folders(self) -> dict[str, list[str]]:
        """Give the folders of all runs, relative to the root, by the run's id; blocking."""
        # A run's folder is two levels below the root, or deeper by the place that it asked for.
        found: dict[str, list[str]] = {}
        pending = [self.folder]
        for _ in range(MAX_DEPTH):
            following: list[Path] = []
            for each in pending:
                with os.scandir(each) as entries:
                    for entry in entries:
                        if not entry.is_dir(follow_symlinks=False):
                            continue
                        path = Path(entry.path)
                        if RUN_ID.fullmatch(entry.name):
                            folder = str(path.relative_to(self.folder))
                            found.setdefault(entry.name, []).append(folder)
                        elif entry.name != RESTORING or each != self.folder:
                            following.append(path)
            pending = following
        return found


_SALT: Final = re.compile(r"[0-9a-f]{16}")


def _remove(folder: Path) -> None:
    """Delete a folder, also one in which a file comes or goes meanwhile."""
    for left in reversed(range(_TURNS)):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if not os.path.lexists(folder):
                return
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or not left:
                raise
        else:
            return


def _runtime(artifact: Artifact, kind: ArtifactType | None = None) -> dict[str, Json]:
    version = kind.version if kind is not None else ArtifactType().version
    return {
        "name": artifact.name,
        "type": {"schemaTitle": artifact.type, "schemaVersion": version},
        "uri": artifact.uri,
        "metadata": dict(artifact.metadata),
    }


def _finite(value: Any) -> Any:
    """Write what JSON has no number for as protobuf's JSON does: a loss may well be NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    return value
