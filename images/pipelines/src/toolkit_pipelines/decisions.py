"""What the scheduler decides, for the engine to carry out and record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from .events import RunPhase, Values


@dataclass(frozen=True, slots=True)
class Start:
    """Start a task, or its next attempt.

    Attributes:
        pod: True if it has one; False for an importer, a nested DAG, a loop or an iteration.
        acts: True if the service itself carries it out.
        iterations: how many items a loop has; None if it is none.
        iteration: the number of an iteration, from 0; None if it is none.
    """

    path: str
    inputs: Values
    pod: bool
    iterations: int | None = None
    iteration: int | None = None
    acts: bool = False


@dataclass(frozen=True, slots=True)
class Succeed:
    """A nested DAG, a loop or an iteration has ended well."""

    path: str
    outputs: Values


@dataclass(frozen=True, slots=True)
class Fail:
    """One of these has failed, or a task cannot start since its inputs are not as declared.

    Attributes:
        iteration: the number of an iteration that cannot start.
        retry: when a nested pipeline is tried again, seconds since the epoch; None if it is not.
    """

    path: str
    reason: str
    message: str
    iteration: int | None = None
    retry: float | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A task will not run; `condition` tells whether its own condition is the reason."""

    path: str
    reason: str
    condition: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a task that is under way: the run is being terminated."""

    path: str


@dataclass(frozen=True, slots=True)
class End:
    """The run has ended."""

    phase: RunPhase
    message: str = ""
    outputs: Values = field(default_factory=Values)


Decision: TypeAlias = Start | Succeed | Fail | Skip | Cancel | End


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Attributes:
        decisions: in the order in which they are to be recorded; empty while nothing can be done.
        starved: True if a task could start but for a free slot.
        wake: when to look again even if nothing happens (seconds since the epoch), or None.
        stops: True if what is under way is to be stopped before the decisions are recorded.
    """

    decisions: tuple[Decision, ...] = ()
    starved: bool = False
    wake: float | None = None
    stops: bool = False
