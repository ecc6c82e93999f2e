"""What the engine needs of pods: `toolkit_jobs.Jobs` gives it, and tests give their own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from toolkit_jobs import Appraisal, Listener, PodPhase, PodRequest, PodStatus, UnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")
_BACKOFF: Final = (0.1, 10.0)


class Pods(Protocol):
    """The pods of this service; see `toolkit_jobs.Jobs` for what each method promises."""

    def subscribe(self, listener: Listener) -> None:
        """Hear of every change of a pod."""
        ...

    async def pods(self) -> dict[str, PodStatus]:
        """Give all pods by name."""
        ...

    async def start(self, request: PodRequest) -> PodStatus:
        """Create the pod, or find it."""
        ...

    async def missing(self, images: Sequence[str]) -> dict[str, str]:
        """Give which images no pod could have, and why, as far as that is known beforehand."""
        ...

    async def appraise(self, request: PodRequest) -> Appraisal | None:
        """Ask what the API makes of a pod that is not made; None if it does not say."""
        ...

    async def get(self, name: str) -> PodStatus:
        """Give one pod; phase GONE if there is none."""
        ...

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        """Delete the pod if it is there."""
        ...

    async def metadata(self, resource: str, name: str) -> Mapping[str, Any]:
        """Give an object's metadata, {} if there is none; never its content."""
        ...

    async def create_claim(
        self, name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any], *, own: bool
    ) -> None:
        """Create a persistent volume claim."""
        ...

    async def own_claims(self) -> dict[str, Mapping[str, str]]:
        """Give the labels of this service's own persistent volume claims, by name."""
        ...

    async def delete_claim(self, name: str, uid: str) -> None:
        """Delete that very persistent volume claim if it is there."""
        ...

    def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Give what the pod printed."""
        ...


async def persist(
    what: str, call: Callable[[], Awaitable[T]], told: Callable[[str], None] | None = None
) -> T:
    """Make a call until the API can be reached; it must be safe to make twice.

    Args:
        what: what it is about, for the log.
        call: the call.
        told: hears each time why the API cannot be reached.
    """
    wait = _BACKOFF[0]
    while True:
        try:
            return await call()
        except UnavailableError as error:
            log.warning("%s: %s; trying again", what, error)
            if told is not None:
                told(str(error))
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            wait = min(wait * 2, _BACKOFF[1])


async def end_all(pods: Pods) -> None:
    """Kill all pods, and wait until there are none.

    Raises:
        RefusedError: the API does not let one be deleted.
    """
    changed = asyncio.Event()
    pods.subscribe(lambda pod: changed.set())
    for name in await pods.pods():
        await persist(f"pod {name}", functools.partial(pods.delete, name, grace=0))
    while await pods.pods():
        await changed.wait()
        changed.clear()


class Ends:
    """Waits for pods to end."""

    def __init__(self, pods: Pods) -> None:
        self._waiting: dict[str, asyncio.Future[PodStatus]] = {}
        pods.subscribe(self._heard)

    def _heard(self, pod: PodStatus) -> None:
        future = self._waiting.get(pod.name)
        if future is not None and pod.phase.ended and not future.done():
            future.set_result(pod)

    async def start(self, pods: Pods, request: PodRequest) -> PodStatus:
        """Start the pod, or find it, and give how it ended.

        Raises:
            RefusedError: the API does not take it.
        """
        future: asyncio.Future[PodStatus] = asyncio.get_running_loop().create_future()
        self._waiting[request.name] = future
        try:
            found = await persist(f"pod {request.name}", lambda: pods.start(request))
            if found.phase.ended and found.phase is not PodPhase.GONE:
                return found
            return await future
        finally:
            del self._waiting[request.name]

    async def wait(self, pods: Pods, name: str, patience: float) -> None:
        """Wait until a pod that was there has ended, or until patience (seconds) is lost."""
        future: asyncio.Future[PodStatus] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        try:
            known = (await pods.pods()).get(name)
            if known is not None and known.phase.ended:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await future
        finally:
            del self._waiting[name]
