"""The statuses that Juju itself sets of a unit, in Juju's words."""

from __future__ import annotations

from minijuju import statuses, tasks
from minijuju.state import State
from minijuju.uniter import Hook

_INSTALLING = "installing charm software"
_STOPPING = "stopping charm software"
_UNTOUCHED = (
    ("waiting", "installing agent"),
    ("maintenance", _INSTALLING),
    ("maintenance", _STOPPING),
)


def announce(state: State, model: str, unit: str, hook: Hook) -> None:
    """What is said before a hook."""
    put = (state, model, unit)
    if hook.kind == "install":
        statuses.put(*put, "workload", "maintenance", _INSTALLING)
    elif hook.kind == "stop":
        statuses.put(*put, "workload", "maintenance", _STOPPING)
    if hook.kind != "update-status":
        statuses.put(*put, "agent", "executing", f"running {hook.name} hook")


def announce_task(state: State, model: str, unit: str, task: tasks.Task) -> None:
    """What is said before an action or a command; an error goes on being shown."""
    before = statuses.get(state, model, unit, "agent")
    words = f"running action {task.name}" if task.kind == "action" else "running commands"
    if before is None or before.status != "error":
        statuses.put(state, model, unit, "agent", "executing", words)


def start(state: State, model: str, unit: str) -> None:
    """What is said after `start`, if the charm has said nothing."""
    current = statuses.get(state, model, unit, "workload")
    if current is None or (current.status, current.message) in _UNTOUCHED:
        statuses.put(state, model, unit, "workload", "unknown")


def fail(state: State, model: str, unit: str, hook: Hook) -> None:
    """What is said of a hook that failed."""
    data = {"hook": hook.name}
    if hook.remote_unit:
        data["remote-unit"] = hook.remote_unit
    message = f'hook failed: "{hook.name}"'
    statuses.put(state, model, unit, "agent", "error", message, data)


def fail_pod(state: State, model: str, unit: str, problem: str, *, installed: bool) -> None:
    """What is said of a unit whose pod cannot be started."""
    statuses.put(state, model, unit, "agent", "failed", problem)
    if not installed:
        statuses.put(state, model, unit, "workload", "blocked", problem)
