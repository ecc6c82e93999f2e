"""The runs of a container on disk, in the pod's folder.

All of run N of a container is in one folder, `NAME.N`: what `sandbox` keeps of it, its log
`output.log` and its last words, `message`; each folder that is made and deleted for a pod has its
price. Run N+1 is begun only when the end of run N is on disk. So a node that comes back after
kill -9 finds each container where it is and starts none twice.

A container that an earlier release began has `containers/NAME/N`, `logs/NAME/N.log` and
`messages/NAME/N`, and keeps to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sandbox import blank, tree
from sandbox.container import Container
from tinykube.node.timeline import times_of

_LOG, _MESSAGE, _HOOKED = "output.log", "message", "hooked"
# Of a pod's folder that was made in advance: what the first run that begins takes for its own.
_NEXT = "next"


class Runs:
    """Where the runs of one container are.

    Args:
        folder: the pod's folder.
        name: the container's name, which has no dot in it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._apart = os.path.isdir(f"{folder}/containers/{name}")
        # A run's log is asked for ten times: a path takes longer to make than to use.
        self._logs: dict[int, Path] = {}

    def directory(self, number: int) -> Path:
        """What `sandbox` keeps of a run."""
        if self._apart:
            return Path(self._folder, "containers", self._name, str(number))
        return Path(self._folder, f"{self._name}.{number}")

    def log(self, number: int) -> Path:
        """What a run has printed."""
        known = self._logs.get(number)
        if known is None:
            apart = Path(self._folder, "logs", self._name, f"{number}.log")
            known = apart if self._apart else self.directory(number) / _LOG
            self._logs[number] = known
        return known

    def message(self, number: int) -> Path:
        """The file that a run may leave its last words in."""
        if self._apart:
            return Path(self._folder, "messages", self._name, str(number))
        return self.directory(number) / _MESSAGE

    def make_message(self, number: int) -> Path:
        """Make that file, unless it is there, and the run's folder."""
        path = self.message(number)
        if not os.path.isdir(path.parent):
            try:
                os.rename(f"{self._folder}/{_NEXT}", path.parent)
            except FileNotFoundError:
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
        within = f"{self._folder}/containers/{self._name}" if self._apart else self._folder
        prefix = "" if self._apart else f"{self._name}."
        try:
            found = os.listdir(within)
        except FileNotFoundError:
            return []
        ends = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
        return sorted((int(end) for end in ends if end.isdigit()), reverse=True)

    def hooked(self, number: int) -> bool:
        """True once the hook after a run's start has been run."""
        return (self.directory(number) / _HOOKED).exists()

    def mark_hooked(self, number: int) -> None:
        """Note that the hook after a run's start has been run."""
        (self.directory(number) / _HOOKED).touch(mode=0o600)

    def prune(self, number: int) -> None:
        """Forget all runs before `number`, which is the last that has ended."""
        for found in self._numbers():
            if found < number:
                tree.remove(self.directory(found))
        for kind in ("logs", "messages") if self._apart else ():
            for path in Path(self._folder, kind, self._name).glob("*"):
                first = path.name.partition(".")[0]
                if first.isdigit() and int(first) < number:
                    path.unlink(missing_ok=True)


def lay_out(folder: Path) -> None:
    """Make what a run needs, empty, in the folder of a pod that is to come."""
    place = folder / _NEXT
    blank.make(place)
    for path in (place / _MESSAGE, place / _LOG, times_of(place / _LOG)):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def directories(folder: Path) -> Iterator[Path]:
    """What `sandbox` keeps of each run of each container of a pod, in the pod's folder."""
    yield from (folder / "containers").glob("*/*")
    yield from (path for path in folder.glob("*.*") if path.name.rpartition(".")[2].isdigit())
