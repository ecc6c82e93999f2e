"""Objects of the namespace that steps may not read, whatever a pipeline's author writes.

A pipeline may mount secrets, config maps and claims of the namespace by their names. Others live
there too: the platform's own secrets, the databases of services, the tokens of other steps. The
operator tells them apart by their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .pods import Pods, persist
from .podspec import Objects
from .spec import SpecError

_ACCOUNT: Final = "kubernetes.io/service-account.name"
"""The annotation of a secret that holds the token of a service account."""
_WORDS: Final = {
    "secrets": "secret",
    "configmaps": "config map",
    "persistentvolumeclaims": "claim",
}


class Reserved:
    """Decides what steps may read.

    Args:
        pods: asks for the objects' labels.
        labels: `NAME` or `NAME=VALUE`; an object that bears one of them is not for steps.
        claims: the service's own claims, which never are.
    """

    def __init__(self, pods: Pods, labels: Iterable[str], claims: Iterable[str] = ()) -> None:
        self._pods = pods
        self._claims = frozenset(claims)
        self._labels = [tuple(each.partition("=")) for each in labels]

    async def check(self, objects: Objects) -> None:
        """Let objects pass that steps may read; one that is not there is Kubernetes' to miss.

        Raises:
            SpecError: one of them is not for steps; the message names it and the label.
            RefusedError: the service may not look.
        """
        if not self._labels and self._claims.isdisjoint(objects.claims):
            return
        for resource, names in (
            ("secrets", objects.secrets),
            ("configmaps", objects.config_maps),
            ("persistentvolumeclaims", objects.claims),
        ):
            for name in sorted(names):
                await self._check(resource, name)

    async def _check(self, resource: str, name: str) -> None:
        found = await persist(
            f"the {_WORDS[resource]} {name!r}", lambda: self._pods.metadata(resource, name)
        )
        self.judge(resource, name, found)

    def judge(self, resource: str, name: str, found: Mapping[str, Any]) -> None:
        """Let an object pass whose metadata is known.

        Raises:
            SpecError: it is not for steps.
        """
        word = f"the {_WORDS[resource]} {name!r}"
        if resource == "persistentvolumeclaims" and name in self._claims:
            raise SpecError("", f"{word} is not for steps: it is the service's own")
        if not self._labels:
            return
        labels: Mapping[str, str] = found.get("labels") or {}
        for label, equals, value in self._labels:
            if label in labels and (not equals or labels[label] == value):
                raise SpecError(
                    "", f"{word} is not for steps: it bears the label {label}={labels[label]}"
                )
        if _ACCOUNT in (found.get("annotations") or {}):
            raise SpecError("", f"{word} is not for steps: it is the token of a service account")
