"""What a Job's controller does next: a pure function of the Job, its pods and the time.

The rules, reasons and sentences are those of Kubernetes' own controller (batch/v1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from tinykube import objects
from tinykube.controllers.jobs import indexes, policies
from tinykube.controllers.jobs.pods import NewPod, PodView
from tinykube.objects import JSON

# Seconds before a failed pod is replaced: for the first failure, and at most.
_BACK_OFF, _LONGEST = 10.0, 600.0
# How many pods are made, or ended, in one go.
_BATCH = 500
_CREATED = ("CompletionsReached", "Reached expected number of succeeded pods")
FAILURE_TARGET, SUCCESS_MET = "FailureTarget", "SuccessCriteriaMet"
FINAL = {FAILURE_TARGET: "Failed", SUCCESS_MET: "Complete"}


@dataclass(frozen=True, slots=True)
class Note:
    """An event to be recorded about the Job."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(slots=True)
class Decision:
    """What to do.

    Attributes:
        status: the Job's new status; `active` counts the pods that are to be made.
        create: the pods to make.
        withdraw: pods that are not wanted any more: they lose the finalizer, are not counted,
            and are deleted.
        delete: pods that are deleted because the Job has failed or met its policy.
        release: pods that `status` counts now: they lose the finalizer together with its write.
        notes: events, once the status is written.
        again: when to decide anew even though nothing has changed.
    """

    status: JSON
    create: list[NewPod] = field(default_factory=list)
    withdraw: list[PodView] = field(default_factory=list)
    delete: list[PodView] = field(default_factory=list)
    release: list[PodView] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    again: datetime | None = None


def finished(job: Mapping[str, Any]) -> JSON | None:
    """The condition by which a Job is complete or failed; None while it is neither."""
    for item in (job.get("status") or {}).get("conditions") or ():
        if item["type"] in FINAL.values() and item["status"] == "True":
            found: JSON = item
            return found
    return None


def expiry(job: Mapping[str, Any]) -> datetime | None:
    """When a finished Job is to be deleted by its `ttlSecondsAfterFinished`."""
    seconds, condition = job["spec"].get("ttlSecondsAfterFinished"), finished(job)
    if seconds is None or condition is None:
        return None
    return objects.when(condition["lastTransitionTime"]) + timedelta(seconds=seconds)


def decide(job: Mapping[str, Any], pods: Sequence[PodView], now: datetime) -> Decision:
    """What to do for a Job that has not finished, with these pods of its own."""
    return _Decider(job, pods, now).decide()


class _Decider:
    def __init__(self, job: Mapping[str, Any], pods: Sequence[PodView], now: datetime) -> None:
        self.job, self.spec, self.now = job, job["spec"], now
        self.status: JSON = objects.copy(job.get("status") or {})
        self.pods = sorted(pods, key=lambda pod: (pod.created, pod.name))
        self.decision = Decision(self.status)
        self.completions: int | None = self.spec.get("completions")
        self.indexed = self.spec["completionMode"] == "Indexed"
        self.per_index: int | None = self.spec.get("backoffLimitPerIndex")
        self.suspended = bool(self.spec.get("suspend"))
        # A pod that is being deleted is replaced, and counted as failed, only once it has ended.
        self.only_failed = self.spec.get("podReplacementPolicy") == "Failed"
        self.active = [pod for pod in self.pods if pod.active]
        self.succeeded = 0
        self.done: set[int] = set()
        self.lost: set[int] = set()
        self.new_succeeded: list[PodView] = []
        self.new_failed: list[PodView] = []
        self.verdicts: dict[str, policies.Verdict] = {}

    def decide(self) -> Decision:
        status, decision = self.status, self.decision
        if not status.get("startTime") and not self.suspended:
            status["startTime"] = objects.stamp(self.now)
        self._look()
        terminating = sum(pod.terminating and not pod.ended for pod in self.pods)
        target = self._target()
        active = len(self.active)
        ready = sum(pod.ready for pod in self.active)
        if target is not None:
            decision.delete = self.active[:_BATCH]
            gone = decision.delete
        else:
            if not self.job["metadata"].get("deletionTimestamp"):
                active += self._manage(terminating)
            gone = decision.withdraw
            if self._complete(active):
                target = (SUCCESS_MET, *_CREATED)
            else:
                self._suspend_or_resume()
        active -= len(gone)
        ready -= sum(pod.ready for pod in gone)
        terminating += len(gone)
        self._count(target)
        if target is not None:
            self._put_condition(*target)
            if not active and not terminating:
                self._finish(target)
        _put(status, "active", active)
        status["ready"] = ready
        status["terminating"] = terminating
        status["uncountedTerminatedPods"] = {}
        return decision

    # What there is.

    def _failed(self, pod: PodView) -> bool:
        """True for a pod that counts as failed."""
        if pod.phase == "Failed":
            return True
        if not pod.terminating or pod.phase == "Succeeded":
            return False
        # Without a node nothing will ever end it.
        return not self.only_failed or not pod.bound

    def _valid(self, pod: PodView) -> bool:
        """True unless it is of no index, or of one that is not asked for (any more)."""
        return not self.indexed or (pod.index is not None and pod.index < (self.completions or 0))

    def _look(self) -> None:
        """Sort the pods that have ended since the last count, and the indexes."""
        tracked = [pod for pod in self.pods if pod.tracked and self._valid(pod)]
        self.new_succeeded = [pod for pod in tracked if pod.phase == "Succeeded"]
        self.new_failed = [pod for pod in tracked if self._failed(pod)]
        self.verdicts = {pod.uid: policies.verdict(self.job, pod) for pod in self.new_failed}
        if not self.indexed:
            self.succeeded = int(self.status.get("succeeded") or 0) + len(self.new_succeeded)
            return
        completions = self.completions or 0
        self.done = indexes.parse(self.status.get("completedIndexes") or "", completions)
        self.done |= {pod.index for pod in self.new_succeeded if pod.index is not None}
        self.succeeded = len(self.done)
        if self.per_index is not None:
            self.lost = indexes.parse(self.status.get("failedIndexes") or "", completions)
            self.lost |= {
                pod.index
                for pod in self.new_failed
                if pod.index is not None and self._index_lost(pod, self.per_index)
            }

    def _index_lost(self, pod: PodView, limit: int) -> bool:
        action = self.verdicts[pod.uid].action
        if action in ("FailIndex", "Ignore"):
            return action == "FailIndex"
        return pod.failures >= limit

    def _failures(self) -> list[PodView]:
        return [pod for pod in self.new_failed if self.verdicts[pod.uid].counts]

    # What follows.

    def _target(self) -> tuple[str, str, str] | None:
        """The condition (type, reason, message) by which the Job is to end, if it is."""
        for item in self.status.get("conditions") or ():
            if item["type"] in FINAL and item["status"] == "True":
                return item["type"], item.get("reason", ""), item.get("message", "")
        for pod in self.new_failed:
            verdict = self.verdicts[pod.uid]
            if verdict.action == "FailJob":
                return FAILURE_TARGET, "PodFailurePolicy", verdict.message
        failed = int(self.status.get("failed") or 0) + len(self._failures())
        if failed > self.spec["backoffLimit"] or self._restarted_too_often():
            return (
                FAILURE_TARGET,
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        if self._overdue():
            return (
                FAILURE_TARGET,
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            )
        most = self.spec.get("maxFailedIndexes")
        if most is not None and len(self.lost) > most:
            return (
                FAILURE_TARGET,
                "MaxFailedIndexesExceeded",
                "Job has exceeded the specified maximal number of failed indexes",
            )
        if self.lost and len(self.lost | self.done) >= (self.completions or 0):
            return FAILURE_TARGET, "FailedIndexes", "Job has failed indexes"
        if self.indexed and (message := policies.success(self.job, self.done)):
            return SUCCESS_MET, "SuccessPolicy", message
        return None

    def _restarted_too_often(self) -> bool:
        if self.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        limit = self.spec["backoffLimit"]
        restarts = sum(pod.restarts for pod in self.pods if not pod.ended)
        return restarts > 0 if limit == 0 else restarts >= limit

    def _overdue(self) -> bool:
        seconds, start = self.spec.get("activeDeadlineSeconds"), self.status.get("startTime")
        if seconds is None or start is None or self.suspended:
            return False
        deadline = objects.when(start) + timedelta(seconds=seconds)
        if self.now >= deadline:
            return True
        self._again(deadline)
        return False

    def _again(self, moment: datetime) -> None:
        if self.decision.again is None or moment < self.decision.again:
            self.decision.again = moment

    def _complete(self, active: int) -> bool:
        if self.completions is None:
            return self.succeeded > 0 and active == 0
        return self.succeeded >= self.completions and active == 0

    def _wanted(self) -> int:
        """How many pods shall be active."""
        if self.suspended:
            return 0
        parallelism = int(self.spec["parallelism"])
        if self.completions is None:
            # The first success is the last start: what runs may end in peace.
            return len(self.active) if self.succeeded else parallelism
        return max(min(self.completions - self.succeeded, parallelism), 0)

    def _manage(self, terminating: int) -> int:
        """Make pods, or withdraw some; how many more there are to be."""
        wanted, decision = self._wanted(), self.decision
        surplus = self._surplus(len(self.active) - wanted)
        if surplus or self.suspended:
            decision.withdraw = surplus[:_BATCH]
            return 0
        room = wanted - len(self.active) - (terminating if self.only_failed else 0)
        if room <= 0:
            return 0
        if self.per_index is not None:
            decision.create = self._replacements()[: min(room, _BATCH)]
            return len(decision.create)
        if wait := self._back_off():
            self._again(wait)
            return 0
        if self.indexed:
            decision.create = [NewPod(index) for index in self._pending()[:room]][:_BATCH]
        else:
            decision.create = [NewPod()] * min(room, _BATCH)
        return len(decision.create)

    def _surplus(self, many: int) -> list[PodView]:
        """The active pods that are not wanted, those that have come least far first."""
        surplus: list[PodView] = []
        if self.indexed and not self.suspended:
            seen: set[int] = set()
            for pod in sorted(self.active, key=_progress, reverse=True):
                known = pod.index is None or pod.index in seen or not self._valid(pod)
                if known or pod.index in self.done or pod.index in self.lost:
                    surplus.append(pod)
                elif pod.index is not None:
                    seen.add(pod.index)
        rest = [pod for pod in self.active if pod not in surplus]
        rest.sort(key=lambda pod: (-(pod.index or 0), *_progress(pod)))
        return surplus + rest[: max(many - len(surplus), 0)]

    def _pending(self) -> list[int]:
        """The indexes that need a pod, the lowest first."""
        taken = {pod.index for pod in self.active} | self.done | self.lost
        if self.only_failed:
            taken |= {pod.index for pod in self.pods if pod.terminating and not pod.ended}
        return [index for index in range(self.completions or 0) if index not in taken]

    def _back_off(self) -> datetime | None:
        """Until when no pod is made, because the last ones failed."""
        ended = [
            (pod.finished, pod.phase != "Succeeded")
            for pod in self.pods
            if pod.finished and (pod.phase == "Succeeded" or self._failed(pod))
        ]
        ended.sort(reverse=True)
        failures = 0
        for _, failed in ended:
            if not failed:
                break
            failures += 1
        return self._after(ended[0][0], failures) if failures else None

    def _after(self, last: datetime, failures: int) -> datetime | None:
        seconds = min(_BACK_OFF * 2.0 ** min(failures - 1, 20), _LONGEST)
        moment = last + timedelta(seconds=seconds)
        return moment if moment > self.now else None

    def _replacements(self) -> list[NewPod]:
        """The pods that indexes need whose failures are counted for each, and may begin now."""
        last = self._last_failures()
        found: list[NewPod] = []
        for index in self._pending():
            pod = last.get(index)
            if pod is None:
                found.append(NewPod(index, 0))
                continue
            ignored = not self._verdict(pod).counts
            total = pod.failures + pod.ignored + 1
            if pod.finished and (wait := self._after(pod.finished, total)):
                self._again(wait)
                continue
            found.append(NewPod(index, pod.failures + (not ignored), pod.ignored + ignored))
        return found

    def _verdict(self, pod: PodView) -> policies.Verdict:
        return self.verdicts.get(pod.uid) or policies.verdict(self.job, pod)

    def _last_failures(self) -> dict[int, PodView]:
        """The last failed pod of each index, which remembers how many there were."""
        found: dict[int, PodView] = {}
        for pod in self.pods:
            if pod.index is None or not self._failed(pod) or not self._valid(pod):
                continue
            other = found.get(pod.index)
            if other is None or _tries(pod) >= _tries(other):
                found[pod.index] = pod
        return found

    def _held(self) -> set[str]:
        """Pods whose index is to be tried again: they are kept until the next pod knows more."""
        if self.per_index is None:
            return set()
        tries = {pod.index: _tries(pod) for pod in self.active}
        tries |= {new.index: (new.failures or 0) + new.ignored for new in self.decision.create}
        return {
            pod.uid
            for index, pod in self._last_failures().items()
            if pod.tracked
            and index not in self.done
            and index not in self.lost
            and tries.get(index, -1) <= _tries(pod)
        }

    # What is written down.

    def _count(self, target: tuple[str, str, str] | None) -> None:
        """Count what has ended, and let it go."""
        status, decision = self.status, self.decision
        failing = target is not None and target[0] == FAILURE_TARGET
        held = set() if target else self._held()
        failed = [pod for pod in self._failures() if pod.uid not in held]
        if failing:
            # Whatever has not succeeded by now has failed with the Job.
            known = {pod.uid for pod in (*self.new_failed, *self.new_succeeded)}
            failed += [
                pod
                for pod in self.pods
                if pod.tracked and self._valid(pod) and pod.uid not in known
            ]
        _put(status, "failed", int(status.get("failed") or 0) + len(failed))
        _put(status, "succeeded", self.succeeded)
        if self.indexed:
            _put(status, "completedIndexes", indexes.write(self.done))
            if self.per_index is not None:
                status["failedIndexes"] = indexes.write(self.lost)
        withdrawn = {pod.uid for pod in decision.withdraw}
        decision.release = [
            pod
            for pod in self.pods
            if pod.tracked
            and pod.uid not in held
            and pod.uid not in withdrawn
            and (target or pod.phase == "Succeeded" or self._failed(pod))
        ]

    def _put_condition(self, type_: str, reason: str, message: str, value: str = "True") -> bool:
        """Set a condition; True if that is new."""
        conditions: list[JSON] = self.status.setdefault("conditions", [])
        known = next((item for item in conditions if item["type"] == type_), None)
        if known is not None and known["status"] == value:
            return False
        moment = objects.stamp(self.now)
        new = {
            "type": type_,
            "status": value,
            "lastProbeTime": moment,
            "lastTransitionTime": moment,
            "reason": reason,
            "message": message,
        }
        if known is None:
            conditions.append(new)
        else:
            known.update(new)
        return True

    def _suspend_or_resume(self) -> None:
        note = self.decision.notes.append
        if self.suspended:
            self.status.pop("startTime", None)
            if self._put_condition("Suspended", "JobSuspended", "Job suspended"):
                note(Note("Normal", "Suspended", "Job suspended"))
            return
        known = {item["type"]: item["status"] for item in self.status.get("conditions") or ()}
        if known.get("Suspended") == "True":
            self._put_condition("Suspended", "JobResumed", "Job resumed", "False")
            # The deadline counts from here.
            self.status["startTime"] = objects.stamp(self.now)
            note(Note("Normal", "Resumed", "Job resumed"))

    def _finish(self, target: tuple[str, str, str]) -> None:
        type_, reason, message = target
        self._put_condition(FINAL[type_], reason, message)
        note = self.decision.notes.append
        if type_ == FAILURE_TARGET:
            note(Note("Warning", reason, message))
            return
        self.status["completionTime"] = objects.stamp(self.now)
        if self.completions is not None and self.succeeded > self.completions:
            note(
                Note(
                    "Warning",
                    "TooManySucceededPods",
                    "Too many succeeded pods running after completion count reached",
                )
            )
        note(Note("Normal", "Completed", "Job completed"))


def _tries(pod: PodView) -> int:
    return pod.failures + pod.ignored


def _progress(pod: PodView) -> tuple[bool, bool, bool]:
    """How far an active pod has come; the least far is ended first."""
    return pod.bound, pod.phase == "Running", pod.ready


def _put(status: JSON, key: str, value: int | str) -> None:
    """Set a field that is left out when it is nothing."""
    if value:
        status[key] = value
    else:
        status.pop(key, None)
