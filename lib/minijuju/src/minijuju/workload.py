"""Watches the Pebble of one workload container and tells what a charm should hear.

Juju's rules: a new boot id is pebble-ready; a custom notice is passed on; a change of kind
perform-check that ended in Error is check-failed, one of kind recover-check that is Done is
check-recovered, and a change already pruned is taken for one that ended so. Which notices were
seen lives in memory: Pebble keeps them for a week, and tells them again to a controller that
was started anew, as to Juju's agent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from minijuju import pebble_api

logger = logging.getLogger(__name__)

Kind = Literal["ready", "custom-notice", "check-failed", "check-recovered"]
NOTICE_WAIT = 30.0
PROBE_PERIOD = 5.0
PROBE_TIMEOUT = 5.0
PROBE_FAILURES = 3
_FIRST_PAUSE, _LAST_PAUSE = 0.01, 1.0
_BACK = 60.0
"""Seconds for which notices are looked at again after the clock was set back."""
_TOLD = 1000
"""How many notices are remembered, so that none is told again then."""


@dataclass(frozen=True, slots=True)
class WorkloadEvent:
    """Something that happened in a workload container.

    Attributes:
        kind: `ready`, `custom-notice`, `check-failed` or `check-recovered`.
        container: The container's name.
        boot_id: Which start of Pebble; told again after the controller was started anew, so
            that a receiver who has dealt with this very start passes it over.
        notice_id: Of the notice, and its type and key.
        notice_type: `custom`, of a custom notice.
        notice_key: Such as `example.com/backup-done`.
        check_name: The check that failed or recovered.
    """

    kind: Kind
    container: str
    boot_id: str = ""
    notice_id: str = ""
    notice_type: str = ""
    notice_key: str = ""
    check_name: str = ""


class Watcher:
    """Follows one Pebble, over its restarts, until cancelled."""

    def __init__(
        self,
        container: str,
        pebble: pebble_api.Pebble,
        emit: Callable[[WorkloadEvent], None],
        *,
        wait: float = NOTICE_WAIT,
    ) -> None:
        self.container = container
        self.pebble = pebble
        self.emit = emit
        self.wait = wait
        self.boot_id = ""
        self._after: str | None = None
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Watch. An error of Pebble's own is logged and tried again, never passed over."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._look()
                pause = _FIRST_PAUSE
            except pebble_api.PebbleUnavailableError:
                pass  # it is starting, or the supervisor is about to start it
            except pebble_api.PebbleApiError as error:
                logger.warning("%s: watching Pebble: %s", self.container, error)
                pause = _LAST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE)

    async def _look(self) -> None:
        """See whether Pebble was restarted, then wait for notices until it ends."""
        while True:
            boot_id = await self.pebble.boot_id()
            if boot_id != self.boot_id:
                self.boot_id = boot_id
                self._emit("ready")
            fresh = False
            for notice in await self.pebble.notices(self._since(), self.wait):
                if self._told.get(notice.id) != notice.last_repeated:
                    await self._tell(notice)
                    fresh = True
                self._remember(notice)
                self._after = max(self._after or "", notice.last_repeated, key=moment)
            if not fresh and self._ahead():
                # It answers at once with what was told already, until the clock is there again.
                await asyncio.sleep(_LAST_PAUSE)

    def _remember(self, notice: pebble_api.Notice) -> None:
        self._told.pop(notice.id, None)
        self._told[notice.id] = notice.last_repeated
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]

    def _ahead(self) -> bool:
        """Whether the last notice is of a time that is still to come: the clock was set back."""
        return moment(self._after or "") > moment(_now())

    def _since(self) -> str | None:
        """Behind which moment notices may not have been told yet.

        Pebble goes by the wall clock. What happens after that was set back would come before
        what was told.
        """
        if not self._ahead():
            return self._after
        return min(_now(-_BACK), self._after or "", key=moment)

    async def _tell(self, notice: pebble_api.Notice) -> None:
        if notice.type == "custom":
            self._emit("custom-notice", notice)
        elif notice.type == "change-update":
            kind = notice.last_data.get("kind", "")
            if kind in ("perform-check", "recover-check"):
                change = await self.pebble.change(notice.key)
                if event := check_event(kind, change):
                    self._emit(event, notice, change)

    def _emit(
        self,
        kind: Kind,
        notice: pebble_api.Notice | None = None,
        change: pebble_api.Change | None = None,
    ) -> None:
        custom = kind == "custom-notice"
        named = (change.data.get("check-name") if change else None) or (
            notice.last_data.get("check-name", "") if notice else ""
        )
        self.emit(
            WorkloadEvent(
                kind,
                self.container,
                boot_id=self.boot_id,
                notice_id=notice.id if notice and custom else "",
                notice_type=notice.type if notice and custom else "",
                notice_key=notice.key if notice and custom else "",
                check_name=str(named),
            )
        )


def check_event(kind: str, change: pebble_api.Change | None) -> Kind | None:
    """What a notice about a check's change means; None: nothing has been decided yet."""
    if kind == "perform-check" and (change is None or change.status == "Error"):
        return "check-failed"
    if kind == "recover-check" and (change is None or change.status == "Done"):
        return "check-recovered"
    return None


def _now(shift: float = 0.0) -> str:
    """This moment, or one before or after it, as Pebble writes it."""
    at = datetime.fromtimestamp(time.time() + shift, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> tuple[str, str]:
    """A key that orders RFC 3339 times in UTC, whatever the number of their decimals."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0") if text else ""
