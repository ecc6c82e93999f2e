"""When the clock alone brings a unit something to do: retries, update-status, secrets."""

from __future__ import annotations

import random
import time

from minijuju import models
from minijuju.uniter import Local, Step

_JITTER = 0.2
_PERIOD = 60.0
"""Seconds after which a moment of the wall clock is looked at again."""
_LONGEST = 3600.0


def _jitter() -> float:
    return random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret


class Clock:
    """One unit's moments, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._retry_at = 0.0
        self.restart_updates()

    def fail(self, model: models.Model, attempts: int) -> None:
        """A hook has failed for the so-many-th time: put its next attempt off."""
        wait = min(
            model.seconds("hook-retry-base") * 2 ** min(attempts - 1, 30),
            model.seconds("hook-retry-max"),
        )
        self._retry_at = time.monotonic() + wait * _jitter()

    def forget_failure(self) -> None:
        """The next attempt may be made at once."""
        self._retry_at = 0.0

    def retry_due(self, model: models.Model) -> bool:
        """Whether a failed hook is to be tried again."""
        retries = bool(model.setting("automatically-retry-hooks"))
        return retries and time.monotonic() >= self._retry_at

    def restart_updates(self) -> None:
        """Wait for a whole interval before update-status is due."""
        self._update_from = time.monotonic()
        self._update_factor = _jitter()

    def update_due(self, model: models.Model) -> bool:
        """Whether update-status is due."""
        return time.monotonic() >= self._update_at(model)

    def _update_at(self, model: models.Model) -> float:
        interval = model.seconds("update-status-hook-interval")
        return self._update_from + interval * self._update_factor

    def patience(self, model: models.Model, local: Local, due: float | None) -> float:
        """Seconds until the clock alone brings something to do.

        Args:
            model: the unit's.
            local: what the unit has done.
            due: when time changes what the model wants, in seconds of the epoch.
        """
        moments = [_LONGEST]
        if local.pending is not None and local.pending.step is Step.FAILED:
            if model.setting("automatically-retry-hooks"):
                moments.append(self._retry_at - time.monotonic())
        elif local.started:
            moments.append(self._update_at(model) - time.monotonic())
        if due is not None:
            # The clock may be set meanwhile.
            moments.append(min(due - time.time(), _PERIOD))
        return max(0.01, min(moments))
