"""Why a unit cannot do its work now, raised by whoever finds out."""

from __future__ import annotations

import ops


class Unready(Exception):  # noqa: N818 - a state of the unit, not an error of the program
    """The desired workload cannot be told now; what runs already is left as it is."""

    status: type[ops.StatusBase] = ops.WaitingStatus

    @property
    def as_status(self) -> ops.StatusBase:
        """The unit status that says so."""
        return self.status(str(self))


class Waiting(Unready):
    """It will go on by itself once something else has happened."""


class Blocked(Unready):
    """Somebody has to do something; the message says what."""

    status = ops.BlockedStatus


def untrusted(application: str) -> Blocked:
    """Say that the application may not use the Kubernetes API, with the line that lets it."""
    return Blocked(f"needs the Kubernetes API: run `juju trust {application} --scope=cluster`")
