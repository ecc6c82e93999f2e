"""Priority and runtime classes: the names that a pod gives are looked up when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinykube import kinds, objects, podspec
from tinykube.objects import JSON
from tinykube.status import forbidden

if TYPE_CHECKING:
    from tinykube.registry import Registry


def prioritize(registry: Registry, pod: JSON) -> None:
    """Give a new pod the priority of its class. Raises ApiError 403."""
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    found = (
        registry.store.load(kinds.PRIORITY_CLASSES.key, "", name) if name else default(registry)
    )
    if name and found is None:
        raise _forbidden(pod, f"no PriorityClass with name {name} was found")
    value, policy = 0, "PreemptLowerPriority"
    if found is not None:
        spec["priorityClassName"] = objects.name(found)
        value, policy = found["value"], found["preemptionPolicy"]
    for field, given, computed in (
        ("integer value of priority", spec.get("priority"), value),
        ("string value of preemptionPolicy", spec.get("preemptionPolicy"), policy),
    ):
        if given is not None and given != computed:
            raise _forbidden(
                pod,
                f"the {field} ({given}) must not be provided in pod spec; priority admission "
                f"controller computed {computed} from the given PriorityClass name",
            )
    spec["priority"], spec["preemptionPolicy"] = value, policy


def default(registry: Registry) -> JSON | None:
    """The priority class of pods that name none, if there is one."""
    for row in registry.store.rows(kinds.PRIORITY_CLASSES.key):
        if '"globalDefault":true' in row.data:
            found: JSON = objects.load(row.data)
            return found
    return None


def check_runtime(registry: Registry, pod: JSON) -> None:
    """The pod's runtime class must exist; it may choose nodes. Raises ApiError 403."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return
    found = registry.store.load(kinds.RUNTIME_CLASSES.key, "", name)
    if found is None:
        raise _forbidden(pod, f'pod rejected: RuntimeClass "{name}" not found')
    scheduling = found.get("scheduling") or {}
    selector: JSON = pod["spec"].setdefault("nodeSelector", {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.setdefault(key, value) != value:
            raise _forbidden(
                pod,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )
    if not selector:
        del pod["spec"]["nodeSelector"]
    tolerations = pod["spec"].get("tolerations") or []
    added = [item for item in scheduling.get("tolerations") or () if item not in tolerations]
    if added:
        pod["spec"]["tolerations"] = [*tolerations, *added]


def _forbidden(pod: JSON, why: str) -> Exception:
    return forbidden("pods", "", podspec.asked_name(pod), why)
