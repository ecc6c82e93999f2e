"""The rules of pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tinykube import kinds, names, objects, podspec
from tinykube.admission import priorities, ranges
from tinykube.objects import JSON
from tinykube.rbac import Attributes, Caller
from tinykube.rules.base import Rules
from tinykube.rules.volumes import ClaimRules
from tinykube.status import Cause, forbidden, required, wrong

if TYPE_CHECKING:
    from tinykube.registry import Registry


_CLAIMS = ClaimRules()


class PodRules(Rules):
    """Pods; their fields' rules are in `tinykube.podspec`."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        podspec.default(new)
        if old is None:
            podspec.tolerate_outage(new["spec"])

    def validate(self, new: JSON, old: JSON | None) -> Iterable[Cause]:
        """See Rules."""
        if old:
            return podspec.changed(new, old)
        return [*podspec.validate(new), *_templates(new)]

    def complete(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del caller
        if old:
            return
        namespace, spec = objects.namespace(new), new["spec"]
        name = spec["serviceAccountName"]
        account = registry.store.load(kinds.SERVICE_ACCOUNTS.key, namespace, name)
        if account is None:
            raise forbidden(
                "pods",
                "",
                podspec.asked_name(new),
                f"error looking up service account {namespace}/{name}: "
                f'serviceaccount "{name}" not found',
            )
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken", True)
        ranges.fill(registry, new)
        if wanted:
            podspec.mount_token(new)
        priorities.prioritize(registry, new)
        priorities.check_runtime(registry, new)
        new["status"] = {"phase": "Pending", "qosClass": podspec.quality(new)}
        if spec.get("schedulingGates"):
            new["status"]["conditions"] = [{**podspec.GATED, "lastTransitionTime": objects.now()}]

    def warnings(self, new: JSON, old: JSON | None) -> Iterator[str]:
        """See Rules."""
        if old is None:
            yield from podspec.of_name(new, "the Pod's hostname")
            yield from podspec.warnings(new)
            yield from podspec.unmet(new)

    def admit(self, registry: Registry, caller: Caller, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old:
            return
        self._host_paths(registry, caller, new)
        ranges.check_pod(registry, new)

    def _host_paths(self, registry: Registry, caller: Caller, pod: JSON) -> None:
        """A folder of the machine is only for those who could make a persistent volume of it."""
        asked = Attributes("create", "", kinds.VOLUMES.plural)
        for volume in pod["spec"].get("volumes") or ():
            if "hostPath" in volume and not registry.authorizer.allowed(caller, asked):
                raise forbidden(
                    "pods",
                    "",
                    objects.name(pod),
                    f'volume "{volume["name"]}" is a hostPath: only users who can create '
                    "persistentvolumes may mount the machine's folders "
                    f"({asked.denial(caller)})",
                )


def _templates(pod: JSON) -> Iterator[Cause]:
    """The faults of the claims that are to be made for a pod's ephemeral volumes."""
    for path, volume in podspec.ephemeral(pod):
        template = volume["ephemeral"].get("volumeClaimTemplate")
        if not template:
            yield required(path)
        else:
            claim = {"spec": template["spec"]}
            for fault in (*_CLAIMS.validate(claim, None), *_CLAIMS.lacking(claim)):
                yield dataclasses.replace(fault, field=f"{path}.{fault.field}")
        name = podspec.of_volume(pod, volume["name"])
        if fault_of_name := names.subdomain_fault(name):
            yield wrong(f"{path.partition('.ephemeral')[0]}.name", name, fault_of_name)
