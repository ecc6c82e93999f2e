"""Where a pod may run: the fields that the scheduler reads, and their rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinykube import names
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Refused, Shape, Table
from tinykube.status import Cause, duplicate, forbidden_field, required, unsupported, wrong

_EXPRESSION = Fields(
    {"key": "str", "operator": "str", "values": Many("str")},
    always=("key", "operator"),
)
LABEL_SELECTOR = Fields(
    {"matchLabels": Table("str"), "matchExpressions": Many(_EXPRESSION)}, atomic=True
)
_NODE_TERM = Fields(
    {"matchExpressions": Many(_EXPRESSION), "matchFields": Many(_EXPRESSION)}, atomic=True
)
_POD_TERM = Fields(
    {
        "labelSelector": LABEL_SELECTOR,
        "namespaces": Many("str"),
        "namespaceSelector": LABEL_SELECTOR,
        "topologyKey": "str",
        "matchLabelKeys": Many("str"),
        "mismatchLabelKeys": Many("str"),
    },
    always=("topologyKey",),
)
_HARD = "requiredDuringSchedulingIgnoredDuringExecution"
_SOFT = "preferredDuringSchedulingIgnoredDuringExecution"
_COMPANY = Fields(
    {
        _HARD: Many(_POD_TERM),
        _SOFT: Many(
            Fields(
                {"weight": "int", "podAffinityTerm": _POD_TERM},
                always=("weight", "podAffinityTerm"),
            )
        ),
    }
)
SHAPE: Mapping[str, Shape] = {
    "affinity": Fields(
        {
            "nodeAffinity": Fields(
                {
                    _HARD: Fields({"nodeSelectorTerms": Many(_NODE_TERM)}, atomic=True),
                    _SOFT: Many(
                        Fields(
                            {"weight": "int", "preference": _NODE_TERM},
                            always=("weight", "preference"),
                        )
                    ),
                }
            ),
            "podAffinity": _COMPANY,
            "podAntiAffinity": _COMPANY,
        }
    ),
    "nodeName": "str",
    "nodeSelector": Table("str", atomic=True),
    "preemptionPolicy": "str",
    "priority": "int",
    "schedulerName": "str",
    "schedulingGates": Many(Fields({"name": "str"}, always=("name",)), key="name"),
    "tolerations": Many(
        Fields(
            {
                "key": "str",
                "operator": "str",
                "value": "str",
                "effect": "str",
                "tolerationSeconds": "int",
            },
            optional=("tolerationSeconds",),
        )
    ),
    "topologySpreadConstraints": Many(
        Fields(
            {
                "maxSkew": "int",
                "topologyKey": "str",
                "whenUnsatisfiable": "str",
                "labelSelector": LABEL_SELECTOR,
                "minDomains": "int",
                "nodeAffinityPolicy": "str",
                "nodeTaintsPolicy": "str",
                "matchLabelKeys": Many("str"),
            },
            optional=("minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy"),
            always=("maxSkew", "topologyKey", "whenUnsatisfiable"),
        ),
        key="topologyKey",
        keys=(("topologyKey", None), ("whenUnsatisfiable", None)),
    ),
    # A name that the node does not serve would be refused there: the process sandbox is its only
    # class.
    "runtimeClassName": "str",
    "resourceClaims": Refused("devices cannot be claimed here: there is no driver for them"),
}
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_EVICTED_AFTER = 300
GATED = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def tolerate_outage(spec: JSON) -> None:
    """Let a new pod stay for five minutes on a node that is out of reach, unless it says else."""
    tolerations: list[JSON] = spec.get("tolerations") or []
    for key in _NOT_READY:
        if not any(
            item.get("key", "") in ("", key) and item.get("effect", "") in ("", "NoExecute")
            for item in tolerations
        ):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _EVICTED_AFTER,
                }
            )
    spec["tolerations"] = tolerations


def validate(spec: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of a new pod's placement."""
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from _key("spec.nodeSelector", key)
        for fault in names.label_value_faults(value):
            yield wrong("spec.nodeSelector", value, fault)
    if not spec["schedulerName"]:
        yield required("spec.schedulerName")
    yield from _affinity("spec.affinity", spec.get("affinity") or {})
    yield from tolerations("spec.tolerations", spec.get("tolerations") or ())
    for index, item in enumerate(spec.get("topologySpreadConstraints") or ()):
        others = spec["topologySpreadConstraints"][index + 1 :]
        yield from _spread(f"spec.topologySpreadConstraints[{index}]", item, others)
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        path, name = f"spec.schedulingGates[{index}]", gate.get("name", "")
        yield from _key(path, name)
        if name in seen:
            yield duplicate(path, name)
        seen.add(name)
    if seen and spec.get("nodeName"):
        yield forbidden_field(
            "spec.nodeName", "cannot be set until all schedulingGates are cleared"
        )


def changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    """The faults of a changed pod: tolerations are only added, gates only removed."""
    kept = new.get("tolerations") or ()
    for before in old.get("tolerations") or ():
        if not any(_alike(before, item) for item in kept):
            yield forbidden_field(
                "spec.tolerations",
                "existing toleration can not be modified except its tolerationSeconds",
            )
            return
    yield from tolerations("spec.tolerations", kept)
    known = [gate["name"] for gate in old.get("schedulingGates") or ()]
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            yield forbidden_field(
                f"spec.schedulingGates[{index}].name",
                f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
            )


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    fields = ("key", "operator", "value", "effect")
    return all((one.get(field) or "") == (other.get(field) or "") for field in fields)


def taints(path: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Cause]:
    """The faults of a node's taints."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(items):
        where = f"{path}[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        yield from _key(f"{where}.key", key)
        for fault in names.label_value_faults(taint.get("value", "")):
            yield wrong(f"{where}.value", taint["value"], fault)
        if not effect:
            yield required(f"{where}.effect")
        elif effect not in EFFECTS:
            yield unsupported(f"{where}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            yield Cause(
                "FieldValueDuplicate",
                f'Duplicate value: "{key}:{effect}": taints must be unique by key and effect pair',
                where,
            )
        seen.add((key, effect))


def tolerations(path: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Cause]:
    """The faults of a pod's tolerations."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        key, value = item.get("key", ""), item.get("value", "")
        operator, effect = item.get("operator", ""), item.get("effect", "")
        if key:
            yield from _key(f"{where}.key", key)
        elif operator != "Exists":
            yield wrong(
                f"{where}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and '
                'all keys"',
            )
        if item.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield wrong(
                f"{where}.effect",
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            )
        if operator in ("", "Equal"):
            for fault in names.label_value_faults(value):
                yield wrong(f"{where}.operator", value, fault)
        elif operator == "Exists":
            if value:
                yield wrong(
                    f"{where}.operator", value, "value must be empty when `operator` is 'Exists'"
                )
        else:
            yield unsupported(f"{where}.operator", operator, ("Equal", "Exists"))
        if effect and effect not in EFFECTS:
            yield unsupported(f"{where}.effect", effect, EFFECTS)


def _affinity(path: str, affinity: Mapping[str, Any]) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    if (hard := node.get(_HARD)) is not None:
        where = f"{path}.nodeAffinity.{_HARD}.nodeSelectorTerms"
        terms = hard.get("nodeSelectorTerms") or ()
        if not terms:
            yield required(where, "must have at least one node selector term")
        for index, term in enumerate(terms):
            yield from _node_term(f"{where}[{index}]", term)
    for index, item in enumerate(node.get(_SOFT) or ()):
        where = f"{path}.nodeAffinity.{_SOFT}[{index}]"
        yield from _weight(where, item)
        yield from _node_term(f"{where}.preference", item.get("preference") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        company = affinity.get(kind) or {}
        for index, term in enumerate(company.get(_HARD) or ()):
            yield from _pod_term(f"{path}.{kind}.{_HARD}[{index}]", term)
        for index, item in enumerate(company.get(_SOFT) or ()):
            where = f"{path}.{kind}.{_SOFT}[{index}]"
            yield from _weight(where, item)
            yield from _pod_term(f"{where}.podAffinityTerm", item.get("podAffinityTerm") or {})


def _weight(path: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    if not 1 <= item.get("weight", 0) <= 100:
        yield wrong(f"{path}.weight", item.get("weight", 0), "must be in the range 1-100")


def _node_term(path: str, term: Mapping[str, Any]) -> Iterator[Cause]:
    for index, item in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        if item.get("operator") in ("Gt", "Lt"):
            if len(item.get("values") or ()) != 1:
                yield required(
                    f"{where}.values",
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                )
            yield from _key(f"{where}.key", item.get("key", ""))
        else:
            yield from _expression(where, item)
    for index, item in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        if item.get("operator") not in ("In", "NotIn"):
            yield wrong(
                f"{where}.operator", item.get("operator", ""), "not a valid selector operator"
            )
        elif len(item.get("values") or ()) != 1:
            yield required(
                f"{where}.values",
                "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                "selector",
            )
        if item.get("key") != "metadata.name":
            yield wrong(f"{where}.key", item.get("key", ""), "not a valid field selector key")


def _pod_term(path: str, term: Mapping[str, Any]) -> Iterator[Cause]:
    yield from _selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from _selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        if fault := names.label_fault(name):
            yield wrong(f"{path}.namespace", name, fault)
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        yield from _keys(f"{path}.{field}", term, field)
    topology = term.get("topologyKey", "")
    if not topology:
        yield required(f"{path}.topologyKey", "can not be empty")
    else:
        yield from _key(f"{path}.topologyKey", topology)


def _keys(path: str, body: Mapping[str, Any], field: str) -> Iterator[Cause]:
    keys = body.get(field) or ()
    if keys and body.get("labelSelector") is None:
        yield forbidden_field(path, "must not be specified when labelSelector is not set")
    for index, key in enumerate(keys):
        yield from _key(f"{path}[{index}]", key)


def _selector(path: str, selector: Mapping[str, Any] | None) -> Iterator[Cause]:
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        yield from _key(f"{path}.matchLabels", key)
        for fault in names.label_value_faults(value):
            yield wrong(f"{path}.matchLabels", value, fault)
    for index, item in enumerate((selector or {}).get("matchExpressions") or ()):
        yield from _expression(f"{path}.matchExpressions[{index}]", item)


def _expression(path: str, item: Mapping[str, Any]) -> Iterator[Cause]:
    operator, values = item.get("operator", ""), item.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(
                f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden_field(
                f"{path}.values",
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )
    else:
        yield wrong(f"{path}.operator", operator, "not a valid selector operator")
    yield from _key(f"{path}.key", item.get("key", ""))
    for index, value in enumerate(values):
        for fault in names.label_value_faults(value):
            yield wrong(f"{path}.values[{index}]", value, fault)


def _spread(
    path: str, item: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> Iterator[Cause]:
    if item.get("maxSkew", 0) <= 0:
        yield wrong(f"{path}.maxSkew", item.get("maxSkew", 0), "must be greater than zero")
    topology, action = item.get("topologyKey", ""), item.get("whenUnsatisfiable", "")
    if not topology:
        yield required(f"{path}.topologyKey", "can not be empty")
    if action not in ("DoNotSchedule", "ScheduleAnyway"):
        yield unsupported(f"{path}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
    same = (topology, action)
    if any((o.get("topologyKey"), o.get("whenUnsatisfiable")) == same for o in others):
        where = f"{path}.{{topologyKey, whenUnsatisfiable}}"
        yield duplicate(where, f"{{{topology}, {action}}}")
    if (domains := item.get("minDomains")) is not None:
        if domains <= 0:
            yield wrong(f"{path}.minDomains", domains, "must be greater than zero")
        if action != "DoNotSchedule":
            yield wrong(
                f"{path}.minDomains",
                domains,
                f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}",
            )
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if item.get(field, "Honor") not in ("Honor", "Ignore"):
            yield unsupported(f"{path}.{field}", item[field], ("Honor", "Ignore"))
    yield from _keys(f"{path}.matchLabelKeys", item, "matchLabelKeys")
    yield from _selector(f"{path}.labelSelector", item.get("labelSelector"))


def _key(path: str, key: str) -> Iterator[Cause]:
    for fault in names.label_key_faults(key):
        yield wrong(path, key, fault)
