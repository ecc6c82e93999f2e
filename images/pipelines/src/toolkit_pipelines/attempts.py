"""Attempts: each is seen to its end, from wherever it stands when it is taken in hand.

An attempt is recorded before it gets here, so that at every moment the records and the pods
together tell how to go on:

- no pod, and no launcher has claimed its folder: make the pod (its name is fixed);
- a pod is there: follow it;
- a result is in its folder: that is how it ended, whatever becomes of its pod (`endings` tells of
  it at once);
- no pod, claimed but without a result: it was lost, and does not run again by itself.

What the service itself carries out has no pod (see `claims`). How an attempt ended is known here
first, and is the engine's to record; its pod is deleted only after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from toolkit_jobs import PodPhase, PodStatus, RefusedError

from . import events, provenance, scheduler
from .claims import ClaimError, Claims
from .disposal import report
from .documents import Kind, lasting
from .endings import Endings
from .environments import BuildError
from .events import Event
from .podrequests import PodRequests
from .pods import Pods, persist
from .provenance import Provenance
from .root import Attempt, OutputError, PipelineRoot, Result
from .spec import SpecError
from .step import Step

log = logging.getLogger(__name__)

_HOPELESS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_PULLING: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError"}
)


@dataclass(slots=True)
class Work:
    """One attempt under way.

    Attributes:
        step: the attempt, in its run.
        spent: how many attempts there were before the run was retried.
        ended: called once `end` is known.
        task: what works on it just now.
        status: its pod, as the API told last.
        waiting_since: when its image was first missed; the event loop's time.
        waiting: why it has not started, a word and a sentence; ("", "") if it has.
        image: what its pod was asked for with; "" if it was asked for by an earlier engine.
        recorded: its launcher has written its record.
        end: the event that ends it, once that is known.
        ending: its end is known from its record, before its pod was seen to end.
    """

    step: Step
    spent: int
    ended: Callable[[], None]
    task: asyncio.Task[None] | None = None
    status: PodStatus | None = None
    waiting_since: float | None = None
    waiting: tuple[str, str] = ("", "")
    image: str = ""
    recorded: bool = False
    end: Event | None = None
    ending: bool = False

    @property
    def path(self) -> str:
        """The path of its task."""
        return self.step.task.path

    @property
    def attempt(self) -> int:
        """Its number, from 0."""
        return self.step.task.attempt

    @property
    def pod(self) -> str:
        """Its pod; "" if the service carries it out."""
        return self.step.task.pod

    @property
    def files(self) -> Attempt:
        """Its files."""
        return self.step.files

    def away(self, why: str) -> None:
        """Note that it waits for Kubernetes itself."""
        self.waiting = ("KubernetesUnavailable", why)


class Attempts:
    """Sees attempts to their end.

    Args:
        pods: where they run.
        root: where they leave their results.
        requests: makes what their pods are made of.
        claims: carries out those without a pod.
        endings: tells of records.
        patience: seconds that an image may be missed before its attempt has failed.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        pods: Pods,
        root: PipelineRoot,
        requests: PodRequests,
        claims: Claims,
        endings: Endings,
        patience: float,
        clock: Callable[[], float],
    ) -> None:
        self._pods = pods
        self._root = root
        self._requests = requests
        self._claims = claims
        self._endings = endings
        self._patience = patience
        self._clock = clock
        self._by_pod: dict[str, Work] = {}
        self._pauses: set[asyncio.Task[None]] = set()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Give what is under way besides the attempts' own tasks."""
        return list(self._pauses)

    def begin(self, step: Step, spent: int, ended: Callable[[], None], *, fresh: bool) -> Work:
        """Take an attempt in hand that is recorded as under way.

        Args:
            step: the attempt; it has what it needs of its run from here on.
            spent: how many attempts there were before the run was retried.
            ended: called once its end is known.
            fresh: it was recorded just now, so that nothing of it has run anywhere.
        """
        work = Work(step, spent, ended)
        if work.pod:
            self._by_pod[work.pod] = work
            self._endings.hear(work.files.folder, lambda: self._recorded(work))
        self._set(work, self._attempt(work, fresh=fresh) if work.pod else self._act(work))
        return work

    def heard(self, pod: PodStatus) -> bool:
        """Take in a change of a pod; False if no attempt that is in hand is in it."""
        work = self._by_pod.get(pod.name)
        if work is None:
            return False
        if work.end is not None:
            return True
        work.status = pod
        if work.task is not None and not work.task.done():
            # Being started, or its end is being looked into; either looks at the status at last.
            return True
        if pod.phase.ended:
            self._set(work, self._finish(work, pod))
        else:
            self._wait(work, pod)
        return True

    def within(self, pod: str) -> Work | None:
        """Give the attempt in hand that is in a pod."""
        return self._by_pod.get(pod)

    def release(self, work: Work) -> None:
        """Let go of an attempt: its end is recorded, or will never be."""
        if work.pod:
            self._by_pod.pop(work.pod, None)
            self._endings.leave(work.files.folder)

    async def stop(self, works: Iterable[Work]) -> None:
        """Stop working on attempts; their pods go on."""
        tasks = [work.task for work in works if work.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _set(self, work: Work, coroutine: Coroutine[Any, Any, None]) -> None:
        """Put a task to work on an attempt; if it breaks, the attempt fails rather than hangs."""
        work.task = asyncio.create_task(coroutine, name=f"attempt-{work.pod}")

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("pod %s", work.pod, exc_info=error)
                self._fail(work, "InternalError", f"{error!r}")

        work.task.add_done_callback(done)

    async def _attempt(self, work: Work, *, fresh: bool) -> None:
        """See an attempt to its end, from wherever it stands."""
        try:
            pod = (await self._pods.pods()).get(work.pod)
            if (
                pod is None
                and not fresh
                and await lasting(f"pod {work.pod}", lambda: self._root.claimed(work.files))
            ):
                # It has run, perhaps under an engine that was killed. Its pod may still be on
                # its way into the list: ask for it by name.
                pod = await persist(f"pod {work.pod}", lambda: self._pods.get(work.pod), work.away)
            if pod is None:
                request = await self._requests.make(work.step)
                work.image = request.image
                pod = await persist(
                    f"pod {work.pod}", lambda: self._pods.start(request), work.away
                )
            # What the watch told meanwhile is newer.
            pod = work.status or pod
            if pod.phase.ended:
                await self._finish(work, pod)
            elif work.recorded:
                await self._take(work)
            else:
                self._wait(work, pod)
        except BuildError as error:
            self._fail(work, "InstallFailed", str(error))
        except RefusedError as error:
            self._fail(work, "PodRefused", f"the cluster does not take the step's pod: {error}")
        except ClaimError as error:
            self._fail(work, "ClaimRefused", str(error))
        except (SpecError, OSError) as error:
            self._fail(work, "CannotStart", str(error))

    async def _act(self, work: Work) -> None:
        """Carry out what has no pod; again, if an engine was killed on the way."""
        try:
            outputs = await self._claims.carry_out(work.step)
        except ClaimError as error:
            self._fail(work, "ClaimRefused", str(error))
        except (SpecError, OSError) as error:
            self._fail(work, "CannotStart", str(error))
        else:
            self._succeed(work, outputs, self._clock())

    def _recorded(self, work: Work) -> None:
        """Take in that an attempt's launcher has written its record."""
        work.recorded = True
        if work.end is None and (work.task is None or work.task.done()):
            self._set(work, self._take(work))

    async def _take(self, work: Work) -> None:
        """End an attempt that went well by its record; of any other its pod has more to tell."""
        try:
            result, ran = await self._left(work)
        except OutputError as error:
            log.debug("pod %s: %s", work.pod, error)
        else:
            if result is not None and result.exit_code == 0:
                work.ending = True
                self._succeed(work, self._given(work, result), self._clock(), ran)
                return
        if work.status is not None and work.status.phase.ended:
            # It was told meanwhile.
            await self._finish(work, work.status)

    async def _finish(self, work: Work, pod: PodStatus) -> None:
        """Find out how a pod that has ended did."""
        work.waiting = ("", "")
        try:
            result, ran = await self._left(work)
        except OutputError as error:
            self._fail(work, "OutputError", str(error))
            return
        if result is not None and result.exit_code == 0:
            # Its record is its last act: what became of the pod after it changes nothing, and a
            # step that has done its work must not do it again.
            self._succeed(work, self._given(work, result), pod.finished or self._clock(), ran)
            return
        reason, message = _blame(pod, result.message if result is not None else "")
        self._fail(work, reason, message)

    @staticmethod
    def _given(work: Work, result: Result) -> events.Values:
        return result.outputs if work.step.gives is None else work.step.gives

    async def _left(self, work: Work) -> tuple[Result | None, Provenance]:
        """Read what a pod has left, and what it ran in if it ended well."""

        def read() -> tuple[Result | None, Provenance]:
            result = self._root.result(work.files, work.step.component)
            if result is None or result.exit_code != 0:
                return result, Provenance()
            return result, self._requests.provenance(work.step, result.packages, work.image)

        # Without its image, what the pod was asked for has to be read as well.
        near = self._requests.near and self._root.documents.near(work.files.folder, Kind.RESULT)
        return await lasting(f"pod {work.pod}", read, here=near and bool(work.image))

    def _wait(self, work: Work, pod: PodStatus) -> None:
        """Note why a pod has not started, and give up on an image that cannot be had."""
        if pod.phase is not PodPhase.PENDING or not pod.reason:
            work.waiting, work.waiting_since = ("", ""), None
            return
        work.waiting = (pod.reason, pod.message)
        if pod.reason in _PULLING:
            now = asyncio.get_running_loop().time()
            if work.waiting_since is None:
                work.waiting_since = now
                self._pause(work, pod)
            if now - work.waiting_since < self._patience:
                return
        elif pod.reason not in _HOPELESS:
            return
        self._fail(work, pod.reason, f"the image cannot be had: {pod.message or pod.reason}")

    def _pause(self, work: Work, pod: PodStatus) -> None:
        """Look at an attempt again once patience has been lost with it."""

        async def lose_patience() -> None:
            await asyncio.sleep(self._patience)
            if work.end is None and work.waiting_since is not None:
                self._wait(work, work.status or pod)

        task = asyncio.create_task(lose_patience())
        self._pauses.add(task)
        task.add_done_callback(self._pauses.discard)
        task.add_done_callback(report)

    def _succeed(
        self,
        work: Work,
        outputs: events.Values,
        ended: float,
        ran: Provenance = Provenance(),  # noqa: B008 - an immutable value
    ) -> None:
        self._conclude(
            work,
            events.TaskSucceeded(
                run_id=work.step.created.run_id,
                time=ended,
                task=work.path,
                attempt=work.attempt,
                outputs=outputs,
                fingerprint=work.step.task.fingerprint,
                image=ran.image,
                lock=provenance.lock(ran.packages),
                packages=ran.packages,
            ),
        )

    def _fail(self, work: Work, reason: str, message: str) -> None:
        now = self._clock()
        given = work.step.pipeline.task(work.path)
        self._conclude(
            work,
            events.TaskFailed(
                run_id=work.step.created.run_id,
                time=now,
                task=work.path,
                attempt=work.attempt,
                reason=reason,
                message=message,
                retry=scheduler.next_attempt(given, work.attempt - work.spent, now),
            ),
        )

    @staticmethod
    def _conclude(work: Work, end: Event) -> None:
        if work.end is None:
            work.end = end
            work.ended()


def _blame(pod: PodStatus, message: str) -> tuple[str, str]:
    """Give the reason and the sentence for an attempt that did not end well."""
    if pod.phase is PodPhase.GONE:
        return "Lost", "the step's pod was deleted before the step ended"
    match pod.reason:
        case "OOMKilled":
            return "OOMKilled", "the step used more memory than its limit allows"
        case "TooManyProcesses":
            return pod.reason, "the step had more processes and threads than a pod may have"
        case "DeadlineExceeded":
            return "DeadlineExceeded", pod.message or "the step took longer than it may"
        case "Lost" | "NodeLost" | "Evicted":
            return pod.reason, pod.message or "the step's container was lost"
        case "InitContainerFailed":
            return pod.reason, pod.message
    if message:
        return "Error", message
    if pod.phase is PodPhase.SUCCEEDED:
        return "Error", "the step ended without recording its result"
    code = f" with exit code {pod.exit_code}" if pod.exit_code is not None else ""
    return "Error", pod.message or f"the step ended{code} and recorded nothing"
