"""The control loop of Jobs: does what `decision` says."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from tinykube import events, kinds, objects
from tinykube.control import Loop
from tinykube.controllers.jobs import pods
from tinykube.controllers.jobs.decision import Decision, decide, expiry, finished
from tinykube.controllers.jobs.pods import PodView
from tinykube.objects import JSON
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change

log = logging.getLogger(__name__)

MANAGER = "kubernetes.io/job-controller"
_COMPONENT = "job-controller"
_BATCH = 20
# Seconds before pods that the API refused are tried again, and at most.
_REFUSED, _LONGEST_REFUSED = 1.0, 60.0


def _clock() -> datetime:
    return datetime.now(UTC)


class JobController(Loop):
    """Makes the pods of Jobs, counts them, and deletes Jobs whose time is over.

    Args:
        registry: the operations.
        clock: what time it is.
    """

    name = "jobs"
    concern = (kinds.JOBS.key, kinds.PODS.key)

    def __init__(self, registry: Registry, clock: Callable[[], datetime] = _clock) -> None:
        self._clock = clock
        self._pods: dict[str, dict[str, PodView]] = {}
        self._dirty: dict[str, None] = {}
        self._due: list[tuple[datetime, str]] = []
        # How often in a row the API refused a pod, and until when none is tried.
        self._refusals: dict[str, tuple[int, datetime]] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._pods.clear()
        self._refusals.clear()
        self._due = []
        for row in self.store.rows(kinds.PODS.key):
            if pods.FINALIZER in row.data or '"kind":"Job"' in row.data:
                self._note(objects.load(row.data), gone=False)
        self._dirty = dict.fromkeys(self._pods)
        for row in self.store.rows(kinds.JOBS.key):
            self._dirty[objects.uid(objects.load(row.data))] = None

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.JOBS.key:
                self._dirty[objects.uid(change.after)] = None
                self.wake()
            elif (
                change.resource == kinds.PODS.key
                and '"kind":"Job"' in change.data
                and (uid := self._note(change.after, gone=change.type == "DELETED"))
            ):
                self._dirty[uid] = None
                self.wake()

    def _note(self, pod: JSON, *, gone: bool) -> str:
        """Keep the books; the uid of the pod's Job, empty if it has none."""
        uid = pods.owner(pod)
        if not uid:
            return ""
        known = self._pods.setdefault(uid, {})
        if gone:
            known.pop(objects.uid(pod), None)
            if not known:
                del self._pods[uid]
        else:
            known[objects.uid(pod)] = pods.view(pod)
        return uid

    def pause(self) -> float | None:
        """See Loop."""
        if not self._due:
            return None
        return max((self._due[0][0] - self._clock()).total_seconds(), 0.0)

    def step(self) -> bool:
        """See Loop."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            self._dirty[heapq.heappop(self._due)[1]] = None
        for uid in list(self._dirty)[:_BATCH]:
            del self._dirty[uid]
            self._sync(uid, now)
        return bool(self._dirty)

    def _sync(self, uid: str, now: datetime) -> None:
        found = self.store.by_uid(uid)
        if found is None or found[0] != kinds.JOBS.key:
            # The collector deletes the pods; here they only must not be held back.
            self._refusals.pop(uid, None)
            self._let_go(uid)
            return
        job: JSON = objects.load(found[1].data)
        if finished(job):
            self._let_go(uid)
            self._expire(job, now)
        elif job["spec"].get("managedBy", MANAGER) == MANAGER:
            decision = decide(job, list(self._pods.get(uid, {}).values()), now)
            self._carry_out(job, decision, now)

    def _let_go(self, uid: str) -> None:
        for pod in list(self._pods.get(uid, {}).values()):
            if pod.tracked:
                self.registry.modify(kinds.PODS, pod.namespace, pod.name, _untrack, uid=pod.uid)

    def _expire(self, job: JSON, now: datetime) -> None:
        moment = expiry(job)
        if moment is None or objects.terminating(job):
            return
        if moment > now:
            heapq.heappush(self._due, (moment, objects.uid(job)))
            return
        self._delete(kinds.JOBS, objects.namespace(job), objects.name(job), objects.uid(job))

    def _delete(self, resource: kinds.Resource, namespace: str, name: str, uid: str) -> bool:
        policy = "Foreground" if resource is kinds.JOBS else "Background"
        try:
            self.registry.delete(resource, namespace, name, Deletion(propagation=policy, uid=uid))
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
            return False
        return True

    def _carry_out(self, job: JSON, decision: Decision, now: datetime) -> None:
        uid, status = objects.uid(job), decision.status
        for pod in decision.withdraw:
            self.registry.modify(kinds.PODS, pod.namespace, pod.name, _untrack, uid=pod.uid)
            self._end(job, pod)
        missing = self._create(job, decision, now)
        if missing:
            status["active"] -= missing
            if not status["active"]:
                del status["active"]
        # The count and the end of each pod's finalizer are one write: none is counted twice.
        namespace = objects.namespace(job)
        self.registry.modify_all(
            [
                (kinds.JOBS, namespace, objects.name(job), _set_status(status), uid),
                *(
                    (kinds.PODS, namespace, pod.name, _untrack, pod.uid)
                    for pod in decision.release
                ),
            ]
        )
        for pod in decision.delete:
            self._end(job, pod)
        for note in decision.notes:
            self._event(job, note.type, note.reason, note.message)
        if decision.again is not None:
            heapq.heappush(self._due, (decision.again, uid))

    def _create(self, job: JSON, decision: Decision, now: datetime) -> int:
        """Make the pods; how many the API refused."""
        uid, namespace = objects.uid(job), objects.namespace(job)
        refused, until = self._refusals.get(uid, (0, now))
        if until > now:
            return len(decision.create)
        for number, new in enumerate(decision.create):
            try:
                made = self.registry.create(
                    kinds.PODS,
                    namespace,
                    pods.make(job, new),
                    SYSTEM,
                    Options(manager="kube-controller-manager"),
                )
            except ApiError as error:
                self._event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
                pause = min(_REFUSED * 2.0 ** min(refused, 10), _LONGEST_REFUSED)
                until = now + timedelta(seconds=pause)
                self._refusals[uid] = (refused + 1, until)
                heapq.heappush(self._due, (until, uid))
                return len(decision.create) - number
            name = objects.name(objects.load(made.data))
            self._event(job, "Normal", "SuccessfulCreate", f"Created pod: {name}")
        if decision.create:
            self._refusals.pop(uid, None)
        return 0

    def _end(self, job: JSON, pod: PodView) -> None:
        if self._delete(kinds.PODS, pod.namespace, pod.name, pod.uid):
            self._event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

    def _event(
        self, job: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        events.record(self.registry, job, type_, reason, message, component=_COMPONENT)


def _untrack(pod: JSON) -> bool:
    finalizers = pod["metadata"].get("finalizers") or []
    if pods.FINALIZER not in finalizers:
        return False
    finalizers.remove(pods.FINALIZER)
    if not finalizers:
        del pod["metadata"]["finalizers"]
    return True


def _set_status(status: JSON) -> Callable[[JSON], bool]:
    def change(job: JSON) -> bool:
        if job.get("status") == status:
            return False
        job["status"] = status
        return True

    return change
