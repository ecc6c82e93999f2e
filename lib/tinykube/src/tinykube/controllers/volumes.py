"""Claims and volumes: binds them, makes volumes for claims that want one, and cleans up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sandbox import tree
from tinykube import events, kinds, objects, podspec, quantity, rules
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change

log = logging.getLogger(__name__)

_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_DOOMED = ".deleted-"
_WAKING = (kinds.CLAIMS.key, kinds.VOLUMES.key, kinds.STORAGE_CLASSES.key)
_COMPONENT = "persistentvolume-controller"


def matches(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> str:
    """Why a volume cannot serve a claim; empty if it can."""
    spec, wanted = volume["spec"], claim["spec"]
    have, need = spec["capacity"]["storage"], wanted["resources"]["requests"]["storage"]
    if quantity.parse(have) < quantity.parse(need):
        return f"requested {need}, the volume has {have}"
    lacking = set(wanted["accessModes"]) - set(spec["accessModes"])
    if lacking:
        return f"the volume lacks the access mode {', '.join(sorted(lacking))}"
    named, klass = wanted.get("volumeName"), wanted.get("storageClassName")
    # A claim that names its volume and no class takes any.
    if (klass is not None or not named) and (klass or "") != spec.get("storageClassName", ""):
        return f"the storage classes differ: {klass!r}, {spec.get('storageClassName', '')!r}"
    selector = (wanted.get("selector") or {}).get("matchLabels") or {}
    labels = volume["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return "the volume's labels do not match the claim's selector"
    return ""


def reserved_for(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """True if the volume's claimRef names this claim."""
    reference = volume["spec"].get("claimRef")
    return (
        bool(reference)
        and reference.get("namespace") == objects.namespace(claim)
        and reference.get("name") == objects.name(claim)
        and reference.get("uid") in (None, "", objects.uid(claim))
    )


class Binder(Loop):
    """The control loop of claims and volumes.

    Args:
        registry: the operations.
        folder: where provisioned volumes are, one folder each.
    """

    name = "volumes"
    concern = (
        kinds.CLAIMS.key,
        kinds.VOLUMES.key,
        kinds.STORAGE_CLASSES.key,
        kinds.PODS.key,
    )

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._folder = folder
        self._trash: set[str] = set()
        self._removals: set[asyncio.Task[None]] = set()
        # Whether there are claims that can go once no pod has them.
        self._leaving = False
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = {row.name for row in self.store.rows(kinds.VOLUMES.key)}
        # A deletion that was cut short, or a volume whose creation never was committed.
        self._trash |= {item.name for item in self._folder.iterdir() if item.name not in known}

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.VOLUMES.key and change.type == "DELETED":
                annotations = change.after["metadata"].get("annotations") or {}
                if annotations.get(_PROVISIONED_BY) == rules.PROVISIONER:
                    self._trash.add(change.name)
            if (
                change.resource in (kinds.CLAIMS.key, kinds.VOLUMES.key)
                or change.resource == kinds.STORAGE_CLASSES.key
            ):
                self.wake()
            elif (
                self._leaving
                and change.resource == kinds.PODS.key
                and _mounts_claims(change.data)
                and (change.type == "DELETED" or objects.finished(change.after))
            ):
                # One of them may be free now.
                self.wake()

    def step(self) -> bool:
        """See Loop."""
        claims = [objects.load(row.data) for row in self.store.rows(kinds.CLAIMS.key)]
        self._leaving = any(map(objects.terminating, claims))
        for claim in claims:
            if objects.terminating(claim):
                self._release_claim(claim)
            else:
                self._settle(claim)
        for row in self.store.rows(kinds.VOLUMES.key):
            self._review(objects.load(row.data))
        for name in sorted(self._trash):
            self._discard(name)
        self._trash.clear()
        return False

    # Claims.

    def _release_claim(self, claim: JSON) -> None:
        if rules.CLAIM_FINALIZER not in (claim["metadata"].get("finalizers") or ()):
            return
        name = objects.name(claim)
        for row in self.store.rows(kinds.PODS.key, objects.namespace(claim)):
            if not _mounts_claims(row.data):
                continue
            pod = objects.load(row.data)
            if name in podspec.claimed(pod) and not objects.finished(pod):
                return
        self.registry.remove_finalizer(kinds.CLAIMS, claim, rules.CLAIM_FINALIZER)

    def _settle(self, claim: JSON) -> None:
        phase = claim["status"].get("phase")
        named = claim["spec"].get("volumeName")
        if phase == "Bound":
            volume = self.store.load(kinds.VOLUMES.key, "", named)
            if volume is None or not reserved_for(volume, claim):
                self._set_phase(kinds.CLAIMS, claim, "Lost")
            return
        if phase != "Pending":
            return
        if named:
            self._bind_named(claim, named)
            return
        volume = self._find(claim)
        if volume is None:
            volume = self._provision(claim)
        if volume is not None:
            self._bind(claim, volume)

    def _bind_named(self, claim: JSON, named: str) -> None:
        volume = self.store.load(kinds.VOLUMES.key, "", named)
        if volume is None:
            self._event(claim, "Warning", "FailedBinding", f'volume "{named}" not found')
        elif volume["spec"].get("claimRef") and not reserved_for(volume, claim):
            self._event(
                claim,
                "Warning",
                "FailedBinding",
                f'volume "{named}" already bound to a different claim.',
            )
        elif fault := matches(volume, claim):
            message = f'Cannot bind to requested volume "{named}": {fault}'
            self._event(claim, "Warning", "VolumeMismatch", message)
        else:
            self._bind(claim, volume)

    def _find(self, claim: JSON) -> JSON | None:
        """The volume that is reserved for the claim, else the smallest free one that serves."""
        free: list[JSON] = []
        for row in self.store.rows(kinds.VOLUMES.key):
            volume: JSON = objects.load(row.data)
            if objects.terminating(volume):
                continue
            if reserved_for(volume, claim):
                return volume
            if not volume["spec"].get("claimRef") and not matches(volume, claim):
                free.append(volume)
        free.sort(key=lambda volume: quantity.parse(volume["spec"]["capacity"]["storage"]))
        return free[0] if free else None

    def _provision(self, claim: JSON) -> JSON | None:
        spec = claim["spec"]
        klass = spec.get("storageClassName", "")
        if spec.get("selector") and klass:
            self._event(
                claim,
                "Warning",
                "ProvisioningFailed",
                "a claim with a selector is not provisioned",
            )
            return None
        if not klass:
            message = "no persistent volumes available for this claim and no storage class is set"
            self._event(claim, "Normal", "FailedBinding", message)
            return None
        found = self.store.load(kinds.STORAGE_CLASSES.key, "", klass)
        if found is None:
            message = f'storageclass.storage.k8s.io "{klass}" not found'
            self._event(claim, "Warning", "ProvisioningFailed", message)
            return None
        if found["provisioner"] != rules.PROVISIONER:
            message = (
                "Waiting for a volume to be created either by the external provisioner "
                f"'{found['provisioner']}' or manually by the system administrator. If volume "
                "creation is delayed, please verify that the provisioner is running and correctly "
                "registered."
            )
            self._event(claim, "Normal", "ExternalProvisioning", message)
            return None
        name = f"pvc-{objects.uid(claim)}"
        folder = self._folder / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self._event(claim, "Warning", "ProvisioningFailed", f"{folder}: {error.strerror}")
            return None
        body = {
            "metadata": {"name": name, "annotations": {_PROVISIONED_BY: rules.PROVISIONER}},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": found["reclaimPolicy"],
                "storageClassName": klass,
                "hostPath": {"path": str(folder)},
                "claimRef": _reference(claim),
            },
        }
        self.registry.ensure(kinds.VOLUMES, "", body)
        self._event(
            claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}"
        )
        return self.store.load(kinds.VOLUMES.key, "", name)

    def _bind(self, claim: JSON, volume: JSON) -> None:
        name, spec = objects.name(volume), volume["spec"]

        def reserve(current: JSON) -> bool:
            current["spec"]["claimRef"] = _reference(claim)
            current["status"] = {"phase": "Bound"}
            return True

        def fill(current: JSON) -> bool:
            current["spec"]["volumeName"] = name
            annotations = current["metadata"].setdefault("annotations", {})
            annotations["pv.kubernetes.io/bind-completed"] = "yes"
            current["status"] = {
                "phase": "Bound",
                "accessModes": spec["accessModes"],
                "capacity": {"storage": spec["capacity"]["storage"]},
            }
            return True

        # The volume first: a crash between the two leaves it reserved for this claim.
        self.registry.modify(kinds.VOLUMES, "", name, reserve, uid=objects.uid(volume))
        self.registry.modify(
            kinds.CLAIMS,
            objects.namespace(claim),
            objects.name(claim),
            fill,
            uid=objects.uid(claim),
        )

    # Volumes.

    def _review(self, volume: JSON) -> None:
        reference = volume["spec"].get("claimRef")
        claim = None
        if reference:
            claim = self.store.load(
                kinds.CLAIMS.key, reference.get("namespace", ""), reference.get("name", "")
            )
            if claim and reference.get("uid") not in (None, "", objects.uid(claim)):
                claim = None
        in_use = claim is not None and claim["spec"].get("volumeName") == objects.name(volume)
        if objects.terminating(volume):
            finalizers = volume["metadata"].get("finalizers") or ()
            if not in_use and rules.VOLUME_FINALIZER in finalizers:
                self.registry.remove_finalizer(kinds.VOLUMES, volume, rules.VOLUME_FINALIZER)
            return
        phase = volume["status"].get("phase")
        if reference and reference.get("uid") and claim is None:
            if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" and _ours(volume):
                self._delete(volume)
            else:
                self._set_phase(kinds.VOLUMES, volume, "Released")
        elif phase == "Pending":
            self._set_phase(kinds.VOLUMES, volume, "Available")

    def _delete(self, volume: JSON) -> None:
        try:
            self.registry.delete(
                kinds.VOLUMES, "", objects.name(volume), Deletion(uid=objects.uid(volume))
            )
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    def _discard(self, name: str) -> None:
        """Delete a provisioned volume's folder, in a thread: it may hold many files."""
        folder = self._folder / name
        if folder.parent != self._folder or not folder.is_dir() or folder.is_symlink():
            return
        # Out of the way at once: a claim made anew gets a folder of this name again.
        doomed = self._folder / f"{_DOOMED}{name.removeprefix(_DOOMED)}"
        folder.rename(doomed)

        async def remove() -> None:
            try:
                await asyncio.to_thread(tree.remove, doomed)
            except OSError as error:
                log.error("the folder %s of a deleted volume stays: %s", doomed, error)

        task = asyncio.get_running_loop().create_task(remove())
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    def _set_phase(self, resource: kinds.Resource, obj: JSON, phase: str) -> None:
        def change(current: JSON) -> bool:
            altered: bool = current["status"].get("phase") != phase
            current["status"]["phase"] = phase
            return altered

        self.registry.modify(
            resource, objects.namespace(obj), objects.name(obj), change, uid=objects.uid(obj)
        )

    def _event(
        self, claim: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        events.record(self.registry, claim, type_, reason, message, component=_COMPONENT)


def _mounts_claims(data: str) -> bool:
    """False if a pod, as its JSON text, cannot mount a claim."""
    return '"persistentVolumeClaim"' in data or '"ephemeral"' in data


def _ours(volume: JSON) -> bool:
    annotations = volume["metadata"].get("annotations") or {}
    return bool(annotations.get(_PROVISIONED_BY) == rules.PROVISIONER)


def _reference(claim: JSON) -> JSON:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": objects.namespace(claim),
        "name": objects.name(claim),
        "uid": objects.uid(claim),
    }
