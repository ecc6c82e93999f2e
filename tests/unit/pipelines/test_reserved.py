"""What steps may not read of their namespace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from toolkit_jobs import Listener, PodRequest, PodStatus, UnavailableError
from toolkit_pipelines import pods as module
from toolkit_pipelines.podspec import Objects
from toolkit_pipelines.reserved import Reserved
from toolkit_pipelines.spec import SpecError

LABELS = ["app.kubernetes.io/managed-by=juju", "storage.juju.is/name"]


class Pods:
    """Gives metadata; the rest is never asked for."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        self.objects = objects
        self.asked: list[tuple[str, str]] = []
        self.away = 0

    async def metadata(self, resource: str, name: str) -> Mapping[str, Any]:
        self.asked.append((resource, name))
        if self.away:
            self.away -= 1
            raise UnavailableError("away")
        return self.objects.get(name, {})

    def subscribe(self, listener: Listener) -> None:
        raise NotImplementedError

    async def pods(self) -> dict[str, PodStatus]:
        raise NotImplementedError

    async def start(self, request: PodRequest) -> PodStatus:
        raise NotImplementedError

    async def get(self, name: str) -> PodStatus:
        raise NotImplementedError

    async def create_claim(
        self, name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any], *, own: bool
    ) -> None:
        raise NotImplementedError

    async def delete_claim(self, name: str, uid: str) -> None:
        raise NotImplementedError

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        raise NotImplementedError

    def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        raise NotImplementedError


def of(**names: str) -> Objects:
    return Objects(**{kind: frozenset({name}) for kind, name in names.items()})


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": None, "annotations": None},
        {"labels": {"app.kubernetes.io/managed-by": "helm", "team": "vision"}},
    ],
)
async def test_what_is_free_passes(metadata: dict[str, Any]) -> None:
    pods = Pods(x=metadata)
    await Reserved(pods, LABELS).check(of(secrets="x", config_maps="x", claims="x"))
    assert pods.asked == [
        ("secrets", "x"),
        ("configmaps", "x"),
        ("persistentvolumeclaims", "x"),
    ]


@pytest.mark.parametrize(
    ("objects", "metadata", "words"),
    [
        (
            of(secrets="x"),
            {"labels": {"app.kubernetes.io/managed-by": "juju"}},
            "the secret 'x' is not for steps: it bears the label app.kubernetes.io/managed-by=",
        ),
        (
            of(claims="x"),
            {"labels": {"storage.juju.is/name": "state"}},
            "the claim 'x' is not for steps",
        ),
        (
            of(config_maps="x"),
            {"labels": {"storage.juju.is/name": ""}},
            "the config map 'x' is not for steps",
        ),
        (
            of(secrets="x"),
            {"annotations": {"kubernetes.io/service-account.name": "default"}},
            "the token of a service account",
        ),
    ],
)
async def test_what_is_reserved_is_named(
    objects: Objects, metadata: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        await Reserved(Pods(x=metadata), LABELS).check(objects)


async def test_an_api_that_is_away_lets_nothing_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", (0.001, 0.001))
    pods = Pods(x={"labels": {"storage.juju.is/name": "state"}})
    pods.away = 2
    with pytest.raises(SpecError):
        await Reserved(pods, LABELS).check(of(claims="x"))
    assert len(pods.asked) == 3


async def test_the_services_own_claims_are_never_for_steps() -> None:
    for labels in ([], LABELS):
        reserved = Reserved(Pods(), labels, ["root"])
        with pytest.raises(SpecError, match="'root' is not for steps: it is the service's own"):
            await reserved.check(of(claims="root"))
        await reserved.check(of(claims="x", secrets="root"))


def test_what_is_known_is_judged_without_asking() -> None:
    pods = Pods()
    label = {"labels": {"storage.juju.is/name": "state"}}
    with pytest.raises(SpecError, match="the claim 'x' is not for steps"):
        Reserved(pods, LABELS).judge("persistentvolumeclaims", "x", label)
    Reserved(pods, LABELS).judge("persistentvolumeclaims", "x", {})
    Reserved(pods, []).judge("persistentvolumeclaims", "x", label)
    assert not pods.asked


async def test_without_labels_nothing_is_asked() -> None:
    pods = Pods()
    await Reserved(pods, []).check(of(secrets="x"))
    assert not pods.asked
