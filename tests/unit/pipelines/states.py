"""A service's state as a test makes it: a database with runs, and their files below a root."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from toolkit_pipelines.events import (
    Event,
    RunCreated,
    RunEnded,
    RunPhase,
    TaskStarted,
    TaskSucceeded,
)
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.store import open_store
from toolkit_pipelines.store.interface import Experiment, Run

SPEC = b'{"pipelineInfo":{"name":"p"}}'


@dataclass
class State:
    """The folders of a service that does not run."""

    folder: Path
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.folder.mkdir(parents=True)
        store = open_store(self.database)
        self.experiment = Experiment(
            experiment_id=str(uuid.uuid4()), display_name="Default", created=1.0
        )
        store.catalog.create_experiment(self.experiment)
        store.close()

    @property
    def database(self) -> Path:
        return self.folder / "pipelines.db"

    @property
    def root(self) -> PipelineRoot:
        return PipelineRoot(self.folder / "root")

    def add(self, name: str, *, ended: bool = True) -> str:
        """Add a run of two tasks, of which the second is under way unless the run has ended."""
        run_id = str(uuid.uuid4())
        created = RunCreated(
            run_id=run_id,
            time=1.0,
            spec="",
            display_name=name,
            pipeline_name="p",
            experiment_id=self.experiment.experiment_id,
            experiment_name="Default",
        )
        run = Run(
            run_id=run_id,
            experiment_id=self.experiment.experiment_id,
            display_name=name,
            spec="",
            created=1.0,
        )
        followed: list[Event] = [
            TaskStarted(run_id=run_id, time=2.0, task="first", pod="a"),
            TaskSucceeded(run_id=run_id, time=3.0, task="first"),
            TaskStarted(run_id=run_id, time=4.0, task="second", pod="b"),
        ]
        if ended:
            followed += [
                TaskSucceeded(run_id=run_id, time=5.0, task="second"),
                RunEnded(run_id=run_id, time=6.0, phase=RunPhase.SUCCEEDED),
            ]
        store = open_store(self.database)
        try:
            store.runs.create(run, created, SPEC)
            store.runs.append(run_id, followed, 1)
        finally:
            store.close()
        self.write(run_id, "first", f"{name} first")
        self.write(run_id, "second", f"{name} second", ended=ended)
        self.runs.append(run_id)
        return run_id

    def write(
        self, run_id: str, task: str, text: str, *, attempt: int = 0, ended: bool = True
    ) -> Path:
        """Write the files of an attempt; give its folder."""
        files = self.root.attempt("", "p", run_id, task, attempt)
        self.root.prepare(files, {"text": text})
        folder = self.root.folder / files.folder
        (folder / ".started").write_text("")
        (folder / "data").mkdir()
        (folder / "data" / "part").write_text(text)
        (folder / "empty").mkdir()
        if ended:
            (self.root.folder / files.log).write_text(f"log of {text}")
            (folder / "result.json").write_text(json.dumps({"exit_code": 0}))
        return folder

    def seen(self) -> tuple[dict[str, tuple[str, ...]], dict[str, bytes | None]]:
        """What there is: runs with the kinds of their events, files with their content."""
        store = open_store(self.database)
        try:
            listed = store.runs.active_runs() + tuple(
                run_id for run_id, _ in store.runs.expired(1e12, 0, recorded=False)
            )
            runs = {
                run_id: tuple(event.kind for event in store.runs.events(run_id))
                for run_id in listed
            }
        finally:
            store.close()
        return runs, self.files()

    def files(self) -> dict[str, bytes | None]:
        """What is in the folders of runs; None for a folder."""
        return {
            str(path.relative_to(self.root.folder)): None if path.is_dir() else path.read_bytes()
            for folders in self.root.run_folders().values()
            for folder in folders
            for path in sorted((self.root.folder / folder).rglob("*"))
        }
