"""What the API asks of the engine besides the store.

To start or stop a run the API appends an event; the engine hears of it through
`EventStore.subscribe`. What is left needs the pods and the files of a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from .installs import Group
from .spec.model import Pipeline


class Workloads(Protocol):
    """The pods and files of runs, as `toolkit_pipelines.engine.Engine` gives them."""

    def waiting(self, run_id: str) -> Mapping[str, str]:
        """Give why tasks of a run wait for their pod to start, by path."""
        ...

    def waiting_steps(self) -> Mapping[str, int]:
        """Give why steps of all runs wait, the commonest first, with the number of each."""
        ...

    def logs(
        self, run_id: str, task: str, attempt: int, *, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """Give the output of one attempt in chunks; with `follow` until it ends.

        Works after the pod is gone. Ends at once for an attempt that has no output.
        """
        ...

    async def missing(self, images: Sequence[str]) -> Mapping[str, str]:
        """Give which images no step could have, and why, as far as that is known beforehand."""
        ...

    async def invalid(self, pipeline: Pipeline) -> Mapping[str, str]:
        """Give why Kubernetes would never take pods of components, by name, as far as it says."""
        ...

    def packages(self, image: str, groups: Sequence[Group]) -> Sequence[str]:
        """Give the packages that a step would have now; blocking.

        () if that is not known before it has run: its environment is not built yet, or steps
        install for themselves.
        """
        ...

    async def cleared(self, run_id: str, patience: float) -> None:
        """Wait until the pods of a run that has ended are cleared away and their logs saved.

        Args:
            run_id: the run.
            patience: seconds after which it is waited no more.
        """
        ...

    def forget(self, run_id: str) -> None:
        """Drop what is kept of a run outside the database: its logs and its artifacts.

        Raises:
            ObjectStoreError, OSError: not all of it could be dropped; it may be tried again.
        """
        ...

    def forgetter(self) -> Callable[[str], None]:
        """Give `forget` for many runs, which looks through the pipeline root once; blocking."""
        ...
