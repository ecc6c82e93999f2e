"""The actions that write a backup of the service's state, and put one in its place.

The workload does it (`toolkit_pipelines.upkeep`); here it is called, and the service stopped and
started around what it may not see happen.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import ops

from toolkit_charm import ToolkitCharm, probe

logger = logging.getLogger(__name__)

SERVICE: Final = "pipelines"
_LONGEST: Final = 24 * 3600.0
"""Seconds that a backup may take to be written or unpacked."""
_PATIENCE: Final = 300.0
"""Seconds until the service has to be up on what a backup holds."""


class UpkeepError(Exception):
    """It cannot be done; the message is for who asked."""


class Upkeep(ops.Object):
    """Backups of one unit.

    Args:
        charm: whose container it is.
        command: how the workload is called, without the verb.
        absent: gives why the unit serves nothing, or "".
    """

    def __init__(
        self, charm: ToolkitCharm[Any], command: list[str], absent: Callable[[], str]
    ) -> None:
        super().__init__(charm, "upkeep")
        self._charm = charm
        self._command = command
        self._absent = absent
        self.framework.observe(charm.on.backup_action, self._on_backup)
        self.framework.observe(charm.on.restore_action, self._on_restore)

    def _on_backup(self, event: ops.ActionEvent) -> None:
        path = event.params.get("path", "")
        try:
            self._check_unit()
            done = self._call("backup", *(["--to", path] if path else []))
        except UpkeepError as error:
            event.fail(str(error))
            return
        container, unit = self._charm.container.name, self._charm.unit.name
        fetch = f"juju scp --container {container} {unit}:{done['path']} ."
        event.set_results({**_results(done), "fetch": fetch})

    def _on_restore(self, event: ops.ActionEvent) -> None:
        path, undo = event.params.get("path", ""), event.params.get("undo", False)
        try:
            self._check_unit()
            if bool(path) == undo:
                raise UpkeepError("give the path of a backup, or undo=true")
            if undo:
                self._stopped("undo")
                self._see_up()
                event.set_results({"undone": "true"})
                return
            done = self._call("prepare", path)
            event.log("the backup is whole and unpacked; the service is stopped for a moment")
            self._stopped("swap")
            try:
                self._see_up()
            except UpkeepError as error:
                self._turn_back(error)
        except UpkeepError as error:
            event.fail(str(error))
            return
        event.set_results(_results(done))

    def _turn_back(self, why: UpkeepError) -> None:
        """Put the state of before back, unless the service has come up after all."""
        try:
            self._stopped("undo")
        except UpkeepError as error:
            # Nothing is kept once it has been up.
            logger.info("the restoration is not undone: %s", error)
            self._see_up()
            return
        raise UpkeepError(
            f"on what the backup holds {why}; what was there before has been put back"
        ) from why

    def _check_unit(self) -> None:
        if halted := self._absent():
            raise UpkeepError(f"{self._charm.unit.name} has no state: {halted}")

    def _call(self, *words: str) -> dict[str, Any]:
        """Let the workload do something; give what it tells."""
        try:
            process = self._charm.container.exec([*self._command, *words], timeout=_LONGEST)
            output, _ = process.wait_output()
        except ops.pebble.ExecError as error:
            said = (error.stderr or "").strip().rpartition("\n")[2] or str(error)
            raise UpkeepError(said.removeprefix("error: ")) from error
        except (ops.pebble.Error, TimeoutError) as error:
            raise UpkeepError(f"the workload's container cannot be asked: {error}") from error
        found: dict[str, Any] = json.loads(output)
        return found

    def _stopped(self, verb: str) -> None:
        """Let the workload do something while the service does not run; start it in any case."""
        container = self._charm.container
        try:
            container.stop(SERVICE)
            self._call(verb)
        except ops.pebble.Error as error:
            raise UpkeepError(f"the service cannot be stopped: {error}") from error
        finally:
            try:
                container.start(SERVICE)
            except ops.pebble.Error as error:
                # Pebble tries it again; what waits for it tells.
                logger.warning("the service does not start at once: %s", error)

    def _see_up(self) -> None:
        """Wait until the service is up.

        Raises:
            UpkeepError: it ends, or is not up in time.
        """
        url = self._charm.ready_url()
        if probe.wait(url, seconds=_PATIENCE, hopeless=self._charm.fails):
            return
        name = self._charm.container.name
        said = "ends right after its start" if self._charm.fails() else "does not come up"
        raise UpkeepError(
            f"the service {said} (juju ssh --container {name} {self._charm.unit.name} "
            "/charm/bin/pebble logs)"
        )


def _results(done: Mapping[str, Any]) -> dict[str, str]:
    return {
        name.replace("_", "-"): str(value)
        for name, value in done.items()
        if value not in ("", None)
    }
