"""The base class: one handler for every event, from the world to the desired workload."""

from __future__ import annotations

import json
import logging
import textwrap
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

import ops

from . import probe, tokens, workload
from .options import Options, OptionsError
from .status import Unready
from .tokens import Token
from .workload import Workload

logger = logging.getLogger(__name__)
# A line of the log is a process (`juju-log`), and of its own accord a request says a dozen.
for _talker in ("httpcore2", "httpx2"):
    logging.getLogger(_talker).setLevel(logging.WARNING)

O = TypeVar("O", bound=Options)  # noqa: E741 - the one type parameter

# Longer than a readiness check takes to fail (see `layers`), so that what is too slow
# for this wait is followed by a check that recovers, and that by an event.
PATIENCE = 20.0  # seconds
_SEE_LOG = "the workload ends right after its start; see `/charm/bin/pebble logs` in its container"
_PEERS = "replicas"
_REMARK = 200  # characters of a status that `juju status` still shows in a line
_TROUBLE = 400  # likewise of one that says what to do
_LAST_GOOD = "options"
# Nothing is started or written while a unit goes away.
_LEAVING = (ops.StopEvent, ops.RemoveEvent, ops.StorageDetachingEvent)
_UNHANDLED = (ops.ActionEvent, ops.CollectStatusEvent, ops.LifecycleEvent)


class ToolkitCharm(ops.CharmBase, Generic[O]):
    """A charm that serves one API from one container.

    Every event leads to the same: read the world, compute the desired workload, bring the
    container to it. Wrong config blocks the unit, and the workload goes on with the last good
    config, which is kept in the unit's peer databag so that it survives the unit's pod.

    A charm sets the class attributes, implements `desired` and, where it has something to tell
    other applications, `share`. It declares in charmcraft.yaml: its container, the peer relation
    `replicas`, the action `get-token`.

    Attributes:
        container_name: the container of the workload.
        options_type: the model of the charm's config.
    """

    container_name: ClassVar[str]
    options_type: type[O]

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.container = self.unit.get_container(self.container_name)
        self._statuses: list[ops.StatusBase] | None = None
        for source in self.on.events().values():
            if not issubclass(source.event_type, _UNHANDLED):
                framework.observe(source, self._on_event)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)
        framework.observe(self.on.get_token_action, self._on_get_token)

    # What a charm implements.

    def desired(self, options: O, token: Token) -> Workload:
        """Compute the workload from the config and the rest of the world.

        Raises:
            Unready: it cannot be told now.
        """
        raise NotImplementedError

    def url(self) -> str:
        """Where others reach the API, without a slash at the end.

        Raises:
            Unready: it has no address yet.
        """
        raise NotImplementedError

    def ready_url(self) -> str:
        """Where the workload answers 200, without a token, once it is ready."""
        raise NotImplementedError

    def version(self, token: Token) -> str | None:
        """Ask the running workload for its version; None if it does not tell."""
        raise NotImplementedError

    def remark(self, token: Token) -> str:
        """What an active unit's status says besides, or ""; it is cut to one short line."""
        del token
        return ""

    def trouble(self) -> str:
        """Why the workload ends right after its start, as far as it has said, or ""."""
        return ""

    def unready(self) -> str:
        """Why a workload that answers is not ready, as far as it says, or ""."""
        return ""

    def applied(self, options: O) -> None:
        """What is done once the container is as `desired` says, whether it answers yet or not."""
        del options

    def share(self, token: Token) -> None:
        """Tell related applications what they need; called on the leader."""

    def usage(self, token: Token, url: str) -> dict[str, str]:
        """What `get-token` shows besides the token and the URL: how to use them."""
        del token, url
        return {}

    # What a charm may use.

    def only_first(self, what: str) -> str | None:
        """Why this unit must not run when one unit is served alone; None if it may.

        By number, not by leadership: unit 0 holds the data, and a scale-down keeps it.

        Args:
            what: what it is that serves one unit.
        """
        if self.unit.name.endswith("/0"):
            return None
        return f"{what} serves one unit; run `juju scale-application {self.app.name} 1`"

    # What happens on an event.

    def _on_event(self, event: ops.EventBase) -> None:
        if isinstance(event, _LEAVING):
            return
        self._statuses = self._reconcile()

    def _reconcile(self) -> list[ops.StatusBase]:
        statuses: list[ops.StatusBase] = []
        try:
            options = self._options(statuses)
            token = tokens.load(self)
            if self.unit.is_leader():
                self.share(token)
            if not self.container.can_connect():
                return [*statuses, ops.WaitingStatus("the container is not up yet")]
            statuses.extend(self._apply(options, token))
        except Unready as reason:
            statuses.append(reason.as_status)
        return statuses

    def _apply(self, options: O, token: Token) -> list[ops.StatusBase]:
        wanted = self.desired(options, token)
        self.unit.set_ports(*wanted.ports)
        try:
            started = workload.apply(self.container, wanted, self.container_name)
        except ops.pebble.ChangeError as error:
            logger.error("the workload does not start: %s", error)
            return [self._ended()]
        self.applied(options)
        if wanted.halt is not None:
            return [ops.BlockedStatus(wanted.halt)]
        if started:
            logger.info("started %s", ", ".join(wanted.layer.get("services", {})))
        if not self.answers(hopeless=self.fails if started else self.known_down):
            if self.fails():
                return [self._ended()]
            said = " ".join(self.unready().split()) or "the workload does not answer yet"
            return [ops.WaitingStatus(textwrap.shorten(said, _REMARK, placeholder=" …"))]
        version = self.version(token)
        if version is not None:
            self.unit.set_workload_version(version)
        remark = " ".join(self.remark(token).split())
        return [ops.ActiveStatus(textwrap.shorten(remark, _REMARK, placeholder=" …"))]

    def _ended(self) -> ops.StatusBase:
        said = " ".join(self.trouble().split())
        return ops.BlockedStatus(textwrap.shorten(said, _TROUBLE, placeholder=" …") or _SEE_LOG)

    def answers(self, *, hopeless: Callable[[], bool]) -> bool:
        """Wait until the workload answers, up to `PATIENCE`, unless that is hopeless."""
        return probe.wait(self.ready_url(), seconds=PATIENCE, hopeless=hopeless)

    def fails(self) -> bool:
        """Tell whether a service ended and Pebble only tries it again."""
        services = self.container.get_services().values()
        return any(
            info.startup is ops.pebble.ServiceStartup.ENABLED and not info.is_running()
            for info in services
        )

    def known_down(self) -> bool:
        """Tell whether a readiness check has failed: its recovery will be an event.

        As long as none has, a workload that Pebble is bringing back may answer again without one.
        """
        checks = self.container.get_checks(level=ops.pebble.CheckLevel.READY).values()
        return any(info.status is ops.pebble.CheckStatus.DOWN for info in checks)

    def _options(self, statuses: list[ops.StatusBase]) -> O:
        peers = self.model.get_relation(_PEERS)
        try:
            options = self.options_type.load(self.config)
        except OptionsError as error:
            statuses.append(ops.BlockedStatus(f"config {error}"))
            kept = peers.data[self.unit].get(_LAST_GOOD) if peers else None
            if kept is None:
                raise Unready("no earlier config to run with") from error
            try:
                return self.options_type.load(json.loads(kept))
            except OptionsError as outdated:
                # A refreshed charm may have other options.
                raise Unready("the earlier config is no longer valid either") from outdated
        if peers is not None:
            # Plain values: what validated them is the raw config, and so is what is kept.
            peers.data[self.unit][_LAST_GOOD] = json.dumps(dict(self.config), sort_keys=True)
        return options

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._statuses is None:
            # An action, say: what was last said still holds.
            return
        for status in self._statuses:
            event.add_status(status)
        event.add_status(ops.ActiveStatus())

    def _on_get_token(self, event: ops.ActionEvent) -> None:
        try:
            token = tokens.load(self)
            url = self.url()
        except Unready as reason:
            event.fail(str(reason))
            return
        event.set_results({"token": token.value, "url": url, **self.usage(token, url)})
