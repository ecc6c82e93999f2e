"""The runs of a container on disk, below the pod's folder.

Run N of a container lives in `containers/NAME/N`: what `sandbox` keeps of it, its log `output.log`
and its last words, `message`. One folder for all of it, since each that is made and deleted for a
pod has its price. Run N+1 is begun only when the end of run N is on disk. So a node that comes
back after kill -9 finds each container where it is and starts none twice.

A pod that an earlier release began has `logs/NAME/N.log` and `messages/NAME/N`, and keeps to them.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import tree
from sandbox.container import Container

_HOOKED = "hooked"


class Runs:
    """Where the runs of one container are.

    Args:
        folder: the pod's folder.
        name: the container's name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._containers = f"{folder}/containers/{name}"
        self._apart = os.path.isdir(f"{folder}/logs/{name}")
        # A run's log is asked for ten times: a path takes longer to make than to use.
        self._logs: dict[int, Path] = {}

    def directory(self, number: int) -> Path:
        """What `sandbox` keeps of a run."""
        return Path(self._containers, str(number))

    def log(self, number: int) -> Path:
        """What a run has printed."""
        known = self._logs.get(number)
        if known is None:
            apart = Path(self._folder, "logs", self._name, f"{number}.log")
            known = apart if self._apart else self.directory(number) / "output.log"
            self._logs[number] = known
        return known

    def message(self, number: int) -> Path:
        """The file that a run may leave its last words in."""
        if self._apart:
            return Path(self._folder, "messages", self._name, str(number))
        return self.directory(number) / "message"

    def make_message(self, number: int) -> Path:
        """Make that file, unless it is there."""
        path = self.message(number)
        os.makedirs(path.parent, mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return path

    def find(self, number: int) -> Container | None:
        """A run, going on or ended; None if there was none."""
        return Container.adopt(self.directory(number))

    def newest(self) -> tuple[int, Container] | None:
        """The last run; None before the first."""
        for number in self._numbers():
            container = self.find(number)
            if container is not None:
                return number, container
        return None

    def logged(self) -> int | None:
        """The last run that has a log, whether it could be started or not."""
        return next((number for number in self._numbers() if self.log(number).is_file()), None)

    def _numbers(self) -> list[int]:
        """Those of the runs that have a folder, the last one first."""
        try:
            found = os.listdir(self._containers)
        except FileNotFoundError:
            return []
        return sorted((int(name) for name in found if name.isdigit()), reverse=True)

    def hooked(self, number: int) -> bool:
        """True once the hook after a run's start has been run."""
        return (self.directory(number) / _HOOKED).exists()

    def mark_hooked(self, number: int) -> None:
        """Note that the hook after a run's start has been run."""
        (self.directory(number) / _HOOKED).touch(mode=0o600)

    def prune(self, number: int) -> None:
        """Forget all runs before `number`, which is the last that has ended."""
        for path in Path(self._containers).glob("*"):
            if path.name.isdigit() and int(path.name) < number:
                tree.remove(path)
        for kind in ("logs", "messages") if self._apart else ():
            for path in Path(self._folder, kind, self._name).glob("*"):
                first = path.name.partition(".")[0]
                if first.isdigit() and int(first) < number:
                    path.unlink(missing_ok=True)
