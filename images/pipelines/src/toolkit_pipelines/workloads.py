"""What the API asks of the engine besides the store.

To start or stop a run the API appends an event; the engine hears of it through
`EventStore.subscribe`. What is left needs the pods and the files of a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol


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

    def artifact(self, uri: str) -> Path:
        """Give the file or folder of an artifact below the pipeline root.

        Raises:
            ValueError: the URI is not below this service's pipeline root, or leaves it by `..` or
                a symbolic link.
        """
        ...

    def forget(self, run_id: str) -> None:
        """Drop what is kept of a deleted run outside the store: its logs and its records."""
        ...
