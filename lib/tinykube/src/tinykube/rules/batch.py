"""The rules of Jobs: Kubernetes' defaults, its validation and what stays as it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinykube import names, objects, podspec
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import (
    Cause,
    duplicate,
    required,
    unsupported,
    wrong,
)

_NO_LIMIT = 2**31 - 1
_MODES = '"NonIndexed", "Indexed"'
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MOST_PARALLEL = 100_000
_MOST_RULES = 20
_IMMUTABLE = "field is immutable"
_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
# What Kueue and its like decide while a Job is suspended and has not begun.
_DIRECTIVES = ("affinity", "nodeSelector", "tolerations", "schedulingGates")


class JobRules(Rules):
    """Jobs."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec: JSON = new.setdefault("spec", {})
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("completionMode", "NonIndexed")
        limited = spec.get("backoffLimitPerIndex") is not None
        spec.setdefault("backoffLimit", _NO_LIMIT if limited else 6)
        spec.setdefault("suspend", False)
        policy = spec.get("podFailurePolicy")
        spec.setdefault("podReplacementPolicy", "Failed" if policy else "TerminatingOrFailed")
        spec.setdefault("manualSelector", False)
        for rule in (policy or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                pattern["status"] = pattern.get("status") or "True"
        template: JSON = spec.setdefault("template", {})
        podspec.default_template(template)
        if old is None:
            new["status"] = {}
            if podspec.asked_name(new) != objects.name(new):
                # As in Kubernetes, it does not get the labels that select its pods.
                _label(new)
            if not spec["manualSelector"]:
                _select(new)
            _label(new)

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """See Rules."""
        faults = list(_spec(new["spec"]))
        if old is None:
            faults += _template(new["spec"])
            faults += _selector(new)
            faults += _hostname(new)
        else:
            faults += _changed(new["spec"], old)
        return faults

    def warnings(self, new: JSON, old: JSON | None) -> Iterator[str]:
        """See Rules."""
        if old is None:
            yield from podspec.of_name(new, "Pod names and hostnames")
        if old is None or new["spec"] != old["spec"]:
            yield from podspec.warnings(new["spec"]["template"], "spec.template")
            yield from podspec.unmet(new["spec"]["template"], "spec.template")


def _label(job: JSON) -> None:
    """Give a Job without labels those of its pods."""
    labels = (job["spec"]["template"].get("metadata") or {}).get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = objects.copy(labels)


def _select(job: JSON) -> None:
    """Give the pods the labels by which the Job knows them."""
    uid, name = objects.uid(job), objects.name(job)
    meta: JSON = job["spec"]["template"].setdefault("metadata", {})
    labels = {_UID: uid, _NAME: name, "controller-uid": uid, "job-name": name}
    meta["labels"] = {**(meta.get("labels") or {}), **labels}
    selector: JSON = job["spec"].setdefault("selector", {})
    selector.setdefault("matchLabels", {})[_UID] = uid


def _selector(job: JSON) -> Iterator[Cause]:
    spec = job["spec"]
    selector = spec.get("selector")
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield required("spec.selector")
    elif not spec["manualSelector"] and selector != {"matchLabels": {_UID: objects.uid(job)}}:
        yield wrong("spec.selector", selector, "`selector` not auto-generated")
    wanted = (selector or {}).get("matchLabels")
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        yield wrong(
            "spec.template.metadata.labels",
            labels or None,
            "`selector` does not match template `labels`",
        )


def _hostname(job: JSON) -> Iterator[Cause]:
    """What is wrong with the names of hosts that an indexed Job makes of its own."""
    spec, name = job["spec"], objects.name(job)
    if spec["completionMode"] != "Indexed" or (spec.get("completions") or 0) <= 0:
        return
    last = f"{name}-{spec['completions'] - 1}"
    if names.label_fault(last):
        why = f"will not able to create pod with invalid DNS label: {last}"
        yield wrong("metadata.name", name, why)


def _spec(spec: Mapping[str, Any]) -> Iterator[Cause]:
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        value = spec.get(field)
        if value is not None and value < 0:
            yield wrong(f"spec.{field}", value, "must be greater than or equal to 0")
        elif value is not None and value > _NO_LIMIT and field != "activeDeadlineSeconds":
            yield wrong(f"spec.{field}", value, f"must be less than or equal to {_NO_LIMIT}")
    if spec["completionMode"] not in ("NonIndexed", "Indexed"):
        message = f'Unsupported value: "{spec["completionMode"][:80]}": supported values: {_MODES}'
        yield Cause("FieldValueNotSupported", message, "spec.completionMode")
    elif spec["completionMode"] == "Indexed":
        yield from _indexed(spec)
    elif spec.get("backoffLimitPerIndex") is not None:
        yield wrong(
            "spec.backoffLimitPerIndex",
            spec["backoffLimitPerIndex"],
            "requires indexed completion mode",
        )
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    allowed = ("Failed",) if spec.get("podFailurePolicy") else _REPLACEMENTS
    if spec["podReplacementPolicy"] not in allowed:
        yield unsupported("spec.podReplacementPolicy", spec["podReplacementPolicy"], allowed)
    yield from _manager(spec.get("managedBy"))
    yield from _failure_policy(spec)
    yield from _success_policy(spec)


def _indexed(spec: Mapping[str, Any]) -> Iterator[Cause]:
    completions, most = spec.get("completions"), spec.get("maxFailedIndexes")
    if completions is None:
        yield required("spec.completions", f"when completion mode is {spec['completionMode']}")
        return
    why = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
    if spec["parallelism"] > _MOST_PARALLEL:
        yield wrong("spec.parallelism", spec["parallelism"], why)
    if most is not None and most > completions:
        yield wrong("spec.maxFailedIndexes", most, "must be less than or equal to completions")


def _manager(name: str | None) -> Iterator[Cause]:
    if name is None:
        return
    path = "spec.managedBy"
    if len(name) > 63:
        yield Cause("FieldValueTooLong", "Too long: may not be more than 63 bytes", path)
    domain, separator, rest = name.partition("/")
    if not separator or not rest:
        yield wrong(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    elif fault := names.subdomain_fault(domain):
        yield wrong(path, domain, fault)


def _failure_policy(spec: Mapping[str, Any]) -> Iterator[Cause]:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    policy_of_restarts = (spec["template"].get("spec") or {}).get("restartPolicy")
    if policy_of_restarts not in (None, "Never"):
        yield wrong(
            "spec.template.spec.restartPolicy",
            policy_of_restarts,
            'only "Never" is supported when podFailurePolicy is specified',
        )
    rules = policy.get("rules") or ()
    if len(rules) > _MOST_RULES:
        yield _too_many("spec.podFailurePolicy.rules", len(rules), _MOST_RULES)
    template = spec["template"].get("spec") or {}
    containers = {
        item.get("name")
        for group in ("initContainers", "containers")
        for item in template.get(group) or ()
    }
    for index, rule in enumerate(rules):
        path = f"spec.podFailurePolicy.rules[{index}]"
        yield from _failure_rule(path, rule, containers, spec)


def _failure_rule(
    path: str, rule: Mapping[str, Any], containers: set[Any], spec: Mapping[str, Any]
) -> Iterator[Cause]:
    action = rule.get("action", "")
    if not action:
        yield required(f"{path}.action", f"valid values: {_quoted(_ACTIONS)}")
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield wrong(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    elif action not in _ACTIONS:
        yield unsupported(f"{path}.action", action, _ACTIONS)
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if codes is not None:
        yield from _exit_codes(f"{path}.onExitCodes", codes, containers)
    for index, pattern in enumerate(conditions or ()):
        where = f"{path}.onPodConditions[{index}]"
        for fault in names.label_key_faults(pattern.get("type", "")):
            yield wrong(f"{where}.type", pattern.get("type", ""), fault)
        if pattern["status"] not in ("True", "False", "Unknown"):
            yield unsupported(f"{where}.status", pattern["status"], ("True", "False", "Unknown"))
    if (codes is not None) is bool(conditions):
        both = "both OnExitCodes and OnPodConditions is not supported"
        word = both if conditions else "one of OnExitCodes and OnPodConditions is required"
        yield Cause("FieldValueInvalid", f"Invalid value: specifying {word}", path)


def _exit_codes(path: str, codes: Mapping[str, Any], containers: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator", ""), codes.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        yield wrong(
            f"{path}.containerName",
            name,
            "must be one of the container or initContainer names in the pod template",
        )
    if not values:
        yield wrong(f"{path}.values", [], "at least one value is required")
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield wrong(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield duplicate(f"{path}.values[{index}]", value)
    if list(values) != sorted(values):
        yield wrong(f"{path}.values", list(values), "must be ordered")


def _success_policy(spec: Mapping[str, Any]) -> Iterator[Cause]:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    if spec["completionMode"] != "Indexed":
        yield wrong("spec.successPolicy", policy, "requires indexed completion mode")
        return
    rules = policy.get("rules") or ()
    if not rules:
        yield required(
            "spec.successPolicy.rules",
            "at least one rules must be specified when the successPolicy is specified",
        )
    if len(rules) > _MOST_RULES:
        yield _too_many("spec.successPolicy.rules", len(rules), _MOST_RULES)
    completions = spec.get("completions") or 0
    for index, rule in enumerate(rules):
        path = f"spec.successPolicy.rules[{index}]"
        count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and listed is None:
            yield required(
                path, "at least one of succeededCount or succeededIndexes must be specified"
            )
        total = completions
        if listed is not None:
            try:
                total = _intervals(listed, completions)
            except ValueError as error:
                yield wrong(
                    f"{path}.succeededIndexes", listed, f"error parsing succeededIndexes: {error}"
                )
                continue
        if count is not None and count < 0:
            yield wrong(f"{path}.succeededCount", count, "must be greater than or equal to 0")
        elif count is not None and count > total:
            of = "specified completions"
            if listed is not None:
                of = "indexes in the specified succeededIndexes field"
            why = f"must be less than or equal to {total} (the number of {of})"
            yield wrong(f"{path}.succeededCount", count, why)


def _intervals(text: str, completions: int) -> int:
    """How many indexes `0-2,5` names. Raises ValueError."""
    total, last = 0, -1
    for part in text.split(","):
        first, separator, end = part.partition("-")
        for word in (first, end) if separator else (first,):
            if not (word.isascii() and word.isdigit()):
                raise ValueError(f'cannot convert string to integer for index: "{word}"')
            if int(word) >= completions:
                raise ValueError(f'too large index: "{word}"')
        low, high = int(first), int(end) if separator else int(first)
        if low <= last:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        if separator and high <= low:
            raise ValueError(f"non-increasing order, previous: {low}, current: {high}")
        total, last = total + high - low + 1, high
    return total


def _template(spec: Mapping[str, Any]) -> Iterator[Cause]:
    template = spec["template"]
    yield from podspec.template_faults(template, "spec.template")
    policy = template["spec"].get("restartPolicy")
    path = "spec.template.spec.restartPolicy"
    if policy == "Always":
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        message = f'Unsupported value: "{policy[:80]}": supported values: "OnFailure", "Never"'
        yield Cause("FieldValueNotSupported", message, path)


def _changed(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[Cause]:
    before = old["spec"]
    if spec.get("completions") != before.get("completions"):
        tandem = spec.get("completions") == spec["parallelism"]
        if spec["completionMode"] != "Indexed" or before.get("completions") is None:
            yield wrong("spec.completions", spec.get("completions"), _IMMUTABLE)
        elif not tandem or before["completions"] != before["parallelism"]:
            yield wrong(
                "spec.completions",
                spec.get("completions"),
                "can only be modified in tandem with spec.parallelism",
            )
    for field in (
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ):
        if spec.get(field) != before.get(field):
            yield wrong(f"spec.{field}", spec.get(field), _IMMUTABLE)
    template = spec["template"]
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        template = _undirected(template, before["template"])
        yield from _template(spec)
    if template != before["template"]:
        yield wrong("spec.template", spec["template"], _IMMUTABLE)


def _undirected(template: Mapping[str, Any], before: Mapping[str, Any]) -> JSON:
    """The template with the earlier one's labels, annotations and scheduling directives."""
    new: JSON = objects.copy(template)
    for part, fields in (("metadata", ("labels", "annotations")), ("spec", _DIRECTIVES)):
        for field in fields:
            (new.get(part) or {}).pop(field, None)
            if field in (before.get(part) or {}):
                new.setdefault(part, {})[field] = before[part][field]
    return new


def _too_many(path: str, found: int, most: int) -> Cause:
    message = f"Too many: {found}: must have at most {most} items"
    return Cause("FieldValueTooMany", message, path)


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
