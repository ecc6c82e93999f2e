"""What happens to a pod once its attempt has ended: its log is saved, then it is deleted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from toolkit_jobs import PodPhase, PodStatus, RefusedError, UnavailableError
from toolkit_objects import ObjectStoreError

from .logs import Logs
from .pods import Ends, Pods, persist
from .root import Attempt
from .steps import Exchange
from .store.interface import StoreError

log = logging.getLogger(__name__)

_HEADSTART: Final = 0.025
"""Seconds that what comes next in a run has the API for itself; then this clears away."""
_LAST_LOG: Final = 10.0
"""Seconds that the log of a terminated pod may take to be saved before it is killed."""
_ENDING: Final = 30.0
"""Seconds that a pod has to end after its step has recorded its own end."""


class Disposal:
    """Cleans up after attempts.

    Args:
        pods: where they ran.
        logs: where what they printed is kept.
        exchange: has what steps without a volume have sent; None if they mount it.
        done: hears of each pod that has been cleaned up after.
    """

    def __init__(
        self, pods: Pods, logs: Logs, exchange: Exchange | None, done: Callable[[str], None]
    ) -> None:
        self._pods = pods
        self._logs = logs
        self._exchange = exchange
        self._done = done
        self._ends = Ends(pods)
        self._cleaning: dict[str, tuple[Attempt, asyncio.Task[None]]] = {}
        # Deleted, and not yet told to be gone: what is told of them until then is old.
        self._leaving: set[str] = set()
        pods.subscribe(self._heard)

    def busy(self, pod: str) -> bool:
        """Tell whether a pod is being cleaned up just now, or has been and is about to go."""
        return pod in self._cleaning or pod in self._leaving

    def _heard(self, pod: PodStatus) -> None:
        if pod.phase is PodPhase.GONE:
            self._leaving.discard(pod.name)

    def tasks(self, run_id: str | None = None) -> list[asyncio.Task[None]]:
        """Give what is under way, of a run or of all."""
        return [
            task
            for files, task in self._cleaning.values()
            if run_id is None or files.run_id == run_id
        ]

    def begin(self, pod: str, files: Attempt, *, ending: bool) -> None:
        """Clean up after an attempt that has ended, in the background.

        Args:
            pod: its pod.
            files: its files.
            ending: the pod itself has not been seen to end.
        """
        if pod not in self._cleaning:
            task = asyncio.create_task(self._clean(pod, files, ending), name=f"clean-{pod}")
            self._cleaning[pod] = files, task
            task.add_done_callback(lambda _: self._cleaning.pop(pod, None))
            task.add_done_callback(lambda _: self._done(pod))
            task.add_done_callback(report)

    async def kill(self, pod: str, files: Attempt, told: Callable[[str], None]) -> None:
        """Stop a pod at once; `told` hears why it cannot be done yet."""
        with contextlib.suppress(TimeoutError, UnavailableError, RefusedError):
            # What it printed so far, if that is to be had quickly.
            async with asyncio.timeout(_LAST_LOG):
                await self._save_log(pod, files)
        await persist(f"pod {pod}", lambda: self._pods.delete(pod, grace=0), told)

    async def _clean(self, pod: str, files: Attempt, ending: bool) -> None:
        await asyncio.sleep(_HEADSTART)
        if ending:
            await self._ends.wait(self._pods, pod, _ENDING)
        try:
            await persist(f"the log of pod {pod}", lambda: self._save_log(pod, files))
        except RefusedError as error:
            # It never started, or is gone.
            log.debug("pod %s has no log: %s", pod, error)
        await persist(f"pod {pod}", lambda: self._pods.delete(pod, grace=0))
        if pod in await self._pods.pods():
            self._leaving.add(pod)
        if self._exchange is not None:
            exchange = self._exchange
            try:
                await persist(f"the files of pod {pod}", lambda: _discard(exchange, files))
            except ObjectStoreError as error:
                log.warning("what pod %s sent in vain stays in the store: %s", pod, error)

    async def _save_log(self, pod: str, files: Attempt) -> None:
        try:
            await self._logs.save(files, self._pods.logs(pod))
        except (OSError, StoreError) as error:
            # A full disk, most likely: the pod keeps the log until there is room.
            raise UnavailableError(f"saving the log of pod {pod}: {error}") from error
        except ObjectStoreError as error:
            if error.transient:
                raise UnavailableError(f"saving the log of pod {pod}: {error}") from error
            log.warning("the log of pod %s is lost: %s", pod, error)


async def _discard(exchange: Exchange, files: Attempt) -> None:
    """Remove what a killed step had sent, and its record never committed."""
    try:
        await asyncio.to_thread(exchange.discard, files)
    except StoreError as error:
        raise UnavailableError(str(error)) from error
    except ObjectStoreError as error:
        if error.transient:
            raise UnavailableError(str(error)) from error
        raise


def report(task: asyncio.Task[None]) -> None:
    """Log why a background task broke, if it did: a callback for when it is done."""
    if not task.cancelled() and task.exception() is not None:
        log.error("%s failed", task.get_name(), exc_info=task.exception())
