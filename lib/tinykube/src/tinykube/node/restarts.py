"""When a container that ended is started again, and how long that waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Seconds, as a kubelet has them: the first wait, the longest, and how long a run must have lasted
# for the waits to begin anew.
FIRST, LONGEST, CALM = 10.0, 300.0, 600.0


class BackOff:
    """The waits between a container's runs: none, then 10 s, doubled each time up to 5 minutes.

    Args:
        restarts: how often it was started again already (before the node itself was).
    """

    def __init__(self, restarts: int = 0) -> None:
        self._next = 0.0 if restarts == 0 else min(FIRST * 2 ** min(restarts - 1, 10), LONGEST)

    def delay(self, lasted: float | None) -> float:
        """Seconds from the end of a run to the next start.

        Args:
            lasted: how long the run took; None if nobody knows.
        """
        if lasted is not None and lasted >= CALM:
            self._next = 0.0
        delay = self._next
        self._next = min(max(delay * 2, FIRST), LONGEST)
        return delay


def sidecar(container: Mapping[str, Any]) -> bool:
    """True for an init container that runs beside the others until the pod ends."""
    return container.get("restartPolicy") == "Always"


def again(container: Mapping[str, Any], policy: str, code: int, *, init: bool) -> bool:
    """True if a container that ended with exit code `code` is to be started again.

    Args:
        container: as the pod's spec has it; its own policy comes before the pod's, and its
            rules before both.
        policy: the pod's `restartPolicy`.
        code: the exit code.
        init: True for an init container, which has done its work once it has succeeded.
    """
    for rule in container.get("restartPolicyRules") or ():
        wanted = rule["exitCodes"]
        if (code in (wanted.get("values") or ())) is (wanted["operator"] == "In"):
            return True
    own = container.get("restartPolicy") or policy
    if init and not sidecar(container):
        return own != "Never" and code != 0
    return own == "Always" or (own == "OnFailure" and code != 0)
