"""A Job's policies: which failures of pods count, and which successes are enough."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from tinykube.controllers.jobs import indexes
from tinykube.controllers.jobs.pods import PodView


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pod failure policy says of a failed pod.

    Attributes:
        action: `FailJob`, `FailIndex`, `Ignore`, `Count`; empty if no rule matched.
        message: why the Job fails, for `FailJob`.
    """

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """True if the failure counts against the Job's limits."""
        return self.action != "Ignore"


def verdict(job: Mapping[str, Any], pod: PodView) -> Verdict:
    """The first rule of the Job's pod failure policy that matches a failed pod."""
    policy = job["spec"].get("podFailurePolicy") or {}
    for number, rule in enumerate(policy.get("rules") or ()):
        action = rule["action"]
        where = f"matching {action} rule at index {number}"
        if (codes := rule.get("onExitCodes")) is not None:
            found = _exit(pod, codes)
            if found is not None:
                name, code = found
                return Verdict(
                    action,
                    f"Container {name} for pod {pod.namespace}/{pod.name} failed with exit code "
                    f"{code} {where}",
                )
        elif condition := _condition(pod, rule.get("onPodConditions") or ()):
            return Verdict(
                action, f"Pod {pod.namespace}/{pod.name} has condition {condition} {where}"
            )
    return Verdict()


def _exit(pod: PodView, codes: Mapping[str, Any]) -> tuple[str, int] | None:
    """The container and exit code that match."""
    values = codes.get("values") or ()
    for group in ("containerStatuses", "initContainerStatuses"):
        for item in pod.status.get(group) or ():
            if codes.get("containerName") not in (None, item["name"]):
                continue
            code = ((item.get("state") or {}).get("terminated") or {}).get("exitCode")
            if code and (code in values) is (codes["operator"] == "In"):
                return str(item["name"]), int(code)
    return None


def _condition(pod: PodView, wanted: Any) -> str:
    """The type of the pod's condition that matches; empty if none does."""
    for item in pod.status.get("conditions") or ():
        for pattern in wanted:
            if item["type"] == pattern["type"] and item["status"] == pattern["status"]:
                return str(item["type"])
    return ""


def success(job: Mapping[str, Any], succeeded: Set[int]) -> str:
    """The message of the rule of the success policy that the succeeded indexes meet, or empty."""
    policy = job["spec"].get("successPolicy") or {}
    completions = job["spec"].get("completions") or 0
    for number, rule in enumerate(policy.get("rules") or ()):
        count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
        wanted = None if listed is None else indexes.parse(listed, completions)
        done = succeeded if wanted is None else succeeded & wanted
        enough = count if count is not None else len(wanted or ())
        if len(done) >= enough:
            return f"Matched rules at index {number}"
    return ""
