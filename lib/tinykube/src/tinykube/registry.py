"""The operations on objects: create, read, update, patch, delete, with Kubernetes' semantics.

Everything here runs in the event loop's thread and never awaits, so each operation is atomic.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.network import FIRST, Subnet
from tinykube import decoding, fieldsets, kinds, names, objects, patch, rules, status
from tinykube.admission import quotas
from tinykube.admission.tallies import Tallies
from tinykube.catalog import Catalog
from tinykube.crd.definitions import Definitions
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.rbac import SYSTEM, Authorizer, Caller
from tinykube.schema import Findings
from tinykube.status import Cause
from tinykube.store import Store, Transaction

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_SHOWN_CAUSES = 50


@dataclass(slots=True)
class Options:
    """What a write may ask besides its object.

    Attributes:
        dry_run: check all, keep nothing.
        validation: `Strict`, `Warn` or `Ignore` unknown fields.
        manager: who writes, for server-side apply.
        force: an apply may take fields from other managers.
        warnings: filled with what the answer should warn of.
    """

    dry_run: bool = False
    validation: str = "Warn"
    manager: str = "unknown"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The options of a deletion.

    Attributes:
        grace: seconds for a pod to end; None for the pod's own.
        propagation: what happens to dependents: `Background`, `Foreground` or `Orphan`;
            empty for the resource's own way.
        uid: delete only this very object.
        version: delete only in this resource version.
    """

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """The object after a write.

    Attributes:
        data: its JSON.
        created: True if it was not there before.
        gone: True if a deletion took it out of the store at once.
    """

    data: str
    created: bool = False
    gone: bool = False


# A resource, a namespace (or empty), a name, what changes the object, and its uid (or empty).
Modification = tuple[Resource, str, str, Callable[[JSON], bool], str]


class Registry:
    """The operations; see the module."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalog = Catalog()
        Definitions(store, self.catalog)
        self.authorizer = Authorizer(store)
        self.tallies = Tallies(store, self.catalog)
        # Where services have their addresses; the daemon's own choice is set before serving.
        self.subnet = Subnet(FIRST)
        # What every namespace gets as the config map kube-root-ca.crt; set before serving.
        self.root_ca = ""

    # Reading.

    def get(self, resource: Resource, namespace: str, name: str) -> str:
        """One object's JSON. Raises ApiError 404."""
        return resource.shown(self._stored(resource, namespace, name))

    def _stored(self, resource: Resource, namespace: str, name: str) -> str:
        data = self.store.get(resource.key, namespace, name)
        if data is None:
            raise status.not_found(resource.plural, resource.group, name)
        return data

    # Creating.

    def create(
        self, resource: Resource, namespace: str, body: Any, caller: Caller, options: Options
    ) -> Written:
        """Store a new object.

        Raises:
            ApiError: 400, 403, 404 (its namespace), 409, 422.
        """
        new, findings = decoding.decode(resource, body, options)
        return self._create(resource, namespace, new, findings, caller, options)

    def _create(
        self,
        resource: Resource,
        namespace: str,
        new: JSON,
        findings: Findings,
        caller: Caller,
        options: Options,
        *,
        applied: bool = False,
    ) -> Written:
        meta = new["metadata"]
        version = meta.pop("resourceVersion", "")
        self._place(resource, namespace, new)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
            meta.pop(name, None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generate(resource, namespace, meta["generateName"])
        ownable = resource.ownable(new)
        if resource.status:
            new.pop("status", None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = objects.now()
        if resource.generation:
            meta["generation"] = 1
        own = rules.of(resource)
        given = fieldsets.filled(new)
        self._check_namespace(resource, namespace, meta.setdefault("name", ""))
        own.prepare(new, None)
        # What admission adds belongs to nobody.
        if not ownable:
            meta.pop("managedFields", None)
        elif not applied:
            fieldsets.created(
                new,
                resource.shape,
                resource.key,
                options.manager,
                custom=not resource.typed,
                given=given,
            )
        own.complete(self, caller, new, None)
        resource.fold(new)
        self._judge(resource, new, None, findings)
        options.warnings += own.warnings(new, None)
        own.admit(self, caller, new, None)
        quotas.admit(self, resource, new)
        # What is no number says nothing, as in Kubernetes.
        if _is_version(version) and not options.dry_run:
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        if (there := self.store.load(resource.key, namespace, meta["name"])) is not None:
            error = status.already_exists(resource.plural, resource.group, meta["name"])
            if objects.terminating(there):
                error.message = f"object is being deleted: {error.message}"
            raise error
        if options.dry_run:
            if version:
                # Nothing is stored that could have another one.
                meta["resourceVersion"] = version
            return Written(resource.shown(objects.dump(resource.stored(new))), created=True)
        with self.store.write() as transaction:
            data = transaction.insert(resource.key, resource.stored(new))
            if resource is kinds.NAMESPACES:
                for other, obj in self._furniture(meta["name"]):
                    transaction.insert(other.key, obj)
        return Written(resource.shown(data), created=True)

    def _place(self, resource: Resource, namespace: str, new: JSON) -> None:
        meta = new["metadata"]
        given = meta.get("namespace")
        if not resource.namespaced:
            meta.pop("namespace", None)
        elif given and given != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        else:
            meta["namespace"] = namespace

    def _generate(self, resource: Resource, namespace: str, prefix: str) -> str:
        for _ in range(8):
            name = names.generate(prefix)
            if self.store.get(resource.key, namespace, name) is None:
                return name
        raise status.already_exists(resource.plural, resource.group, name)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.namespaced:
            return
        home = self.store.load(kinds.NAMESPACES.key, "", namespace)
        if home is None:
            raise status.not_found("namespaces", "", namespace)
        if objects.terminating(home) and resource.key != kinds.EVENTS.key:
            error = status.forbidden(
                resource.plural,
                resource.group,
                name,
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
            )
            why = f"namespace {namespace} is being terminated"
            # Clients tell by it that there is no use in trying again.
            error.causes = (Cause("NamespaceTerminating", why, "metadata.namespace"),)
            raise error

    def _furniture(self, namespace: str) -> list[tuple[Resource, JSON]]:
        """What every namespace has from the start."""

        def made(resource: Resource, name: str, **fields: Any) -> tuple[Resource, JSON]:
            meta = {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": objects.now(),
            }
            return resource, kinds.body(resource, {"metadata": meta, **fields})

        return [
            made(kinds.SERVICE_ACCOUNTS, "default"),
            made(kinds.CONFIG_MAPS, "kube-root-ca.crt", data={"ca.crt": self.root_ca}),
        ]

    def _invalid(
        self, resource: Resource, obj: JSON, faults: list[status.Cause]
    ) -> status.ApiError:
        name = str(obj["metadata"].get("name") or obj["metadata"].get("generateName") or "")
        return status.invalid(resource.kind, resource.group, name[:253], faults[:_SHOWN_CAUSES])

    # Changing.

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        caller: Caller,
        options: Options,
        *,
        subresource: str = "",
        owned: bool = False,
    ) -> Written:
        """Replace an object, or its status alone; `owned` if it says itself who owns its fields.

        Raises:
            ApiError: 400, 403, 404, 409, 422.
        """
        new, findings = decoding.decode(resource, body, options)
        self._named(new, name)
        previous = self._stored(resource, namespace, name)
        if not resource.unconditional and not new["metadata"].get("resourceVersion"):
            fault = status.wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise status.invalid(resource.plural, resource.group, name, [fault])
        return self._replace(
            resource,
            new,
            findings,
            previous,
            caller,
            options,
            subresource=subresource,
            applied=owned,
        )

    def put(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        caller: Caller,
        options: Options,
    ) -> Written:
        """Create an object by an update, where its kind allows that. Raises ApiError."""
        new, findings = decoding.decode(resource, body, options)
        self._named(new, name)
        meta = new["metadata"]
        if meta.get("uid"):
            raise self._other_uid(resource, name, meta["uid"], "")
        _check_version(meta)
        if not options.dry_run:
            # Unlike a creation, it may name one; what is not there has none.
            meta.pop("resourceVersion", None)
        return self._create(resource, namespace, new, findings, caller, options)

    def _named(self, new: JSON, name: str) -> None:
        """Check that an object is the one of the path. Raises ApiError 400."""
        given = new["metadata"].get("name")
        if not given:
            raise status.undeterminable(name)
        if given != name:
            raise status.misnamed(given, name)

    def _other_uid(self, resource: Resource, name: str, given: str, found: str) -> status.ApiError:
        return status.conflict(
            resource.plural,
            resource.group,
            name,
            f"Precondition failed: UID in precondition: {given[:64]}, UID in object meta: {found}",
        )

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        content_type: str,
        body: Any,
        caller: Caller,
        options: Options,
        *,
        subresource: str = "",
    ) -> Written:
        """Patch an object, or its status alone; an apply may create it. Raises ApiError."""
        if content_type == patch.APPLY_PATCH:
            return self._apply(resource, namespace, name, body, caller, options, subresource)
        previous = self._stored(resource, namespace, name)
        old = objects.load(resource.shown(previous))
        match content_type:
            case patch.JSON_PATCH:
                patched = patch.json_patch(old, body)
            case patch.MERGE_PATCH:
                patched = patch.merge_patch(old, _an_object(body))
            case patch.STRATEGIC_PATCH if resource.strategic:
                patched = patch.strategic_patch(old, _an_object(body), resource.shape)
                # What it is of goes by the path.
                for member in ("apiVersion", "kind"):
                    if isinstance(patched.get(member), str | None):
                        patched[member] = old[member]
            case _:
                raise patch.untaken()
        if resource.typed and decoding.unversioned(resource, patched):
            if options.validation == "Warn":
                unknown = sorted(patched.keys() - {"apiVersion", "kind"})
                options.warnings += [f'unknown field "{member[:80]}"' for member in unknown]
            raise status.undeterminable(name)
        try:
            new, findings = decoding.decode(resource, patched, options)
        except status.ApiError as error:
            raise patch.unreadable(error) from None
        self._named(new, name)
        return self._replace(
            resource, new, findings, previous, caller, options, subresource=subresource
        )

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        caller: Caller,
        options: Options,
        subresource: str,
    ) -> Written:
        previous = self.store.get(resource.key, namespace, name)
        if previous is None and subresource:
            raise status.not_found(resource.plural, resource.group, name)
        decoding.check_kind(resource, body)
        config, findings = decoding.decode(resource, body, options, part=True)
        faults = [f".{path}: field not declared in schema" for path in findings.unknown[:20]]
        faults += fieldsets.doubled(config, resource.shape)
        if faults:
            options.warnings.clear()
            raise _untyped(resource, config, faults)
        if "managedFields" in config["metadata"]:
            raise status.bad_request("metadata.managedFields must be nil")
        self._place(resource, namespace, config)
        if previous is None and (uid := config["metadata"].get("uid")):
            why = f"the provided object specified uid {uid[:64]}, and no existing object was found"
            raise status.conflict(resource.plural, resource.group, name, f"uid mismatch: {why}")
        ignored: JSON = {}
        if resource.status:
            whole = config
            config = {
                key: value
                for key, value in config.items()
                if key in ("apiVersion", "kind", "metadata")
                or (key == "status") is (subresource == "status")
            }
            ignored = {key: whole[key] for key in whole.keys() - config.keys()}
        if subresource and not resource.typed:
            # Its metadata is not written by that way, so nobody comes to own it.
            meta = config["metadata"]
            config["metadata"] = {key: meta[key] for key in meta if key in _IDENTITY}
            ignored["metadata"] = {key: meta[key] for key in meta if key not in _IDENTITY}
        live = None if previous is None else objects.load(resource.shown(previous))
        merged = fieldsets.apply(
            live,
            config,
            resource.shape,
            options.manager,
            force=options.force,
            ignored=ignored,
            subresource=subresource,
            key=resource.key,
            custom=not resource.typed,
        )
        # What is there has a name, whether it was repeated or not.
        self._named(merged, name)
        # After the merge: nobody has asked for a default, so nobody owns it.
        resource.complete(merged)
        if previous is None:
            # A merge gives the fields in an order of its own; lists rely on the store's.
            fresh = kinds.body(resource, merged)
            return self._create(
                resource, namespace, fresh, findings, caller, options, applied=True
            )
        return self._replace(
            resource,
            merged,
            findings,
            previous,
            caller,
            options,
            subresource=subresource,
            applied=True,
        )

    def _replace(
        self,
        resource: Resource,
        new: JSON,
        findings: Findings,
        previous: str,
        caller: Caller,
        options: Options,
        *,
        subresource: str,
        applied: bool = False,
    ) -> Written:
        old: JSON = objects.load(resource.shown(previous))
        self._place(resource, objects.namespace(old), new)
        meta, before = new["metadata"], old["metadata"]
        name = before["name"]
        if meta.get("uid") and meta["uid"] != before["uid"]:
            raise self._other_uid(resource, name, meta["uid"], before["uid"])
        _check_version(meta)
        if meta.get("resourceVersion") not in (None, "", "0", before["resourceVersion"]):
            raise status.conflict(resource.plural, resource.group, name, status.STALE)
        entries = fieldsets.given(meta, before.get("managedFields") or ())
        if not subresource and not resource.ownable(new):
            entries = ()
        if subresource:
            new = _part(resource, new, old, subresource)
            meta = new["metadata"]
        elif resource.status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = objects.copy(old["status"])
        for key in _SYSTEM:
            meta.pop(key, None)
            if key in before:
                meta[key] = before[key]
        self._check_change(resource, new, old, findings, caller, subresource)
        resource.fold(new)
        if not subresource:
            options.warnings += rules.of(resource).warnings(new, old)
        if not applied:
            entries = fieldsets.updated(
                new,
                old,
                entries,
                resource.shape,
                options.manager,
                subresource,
                custom=not resource.typed,
            )
        meta.pop("managedFields", None)
        if entries:
            meta["managedFields"] = list(entries)
        new = kinds.body(resource, new)
        if fieldsets.untimed(new) == fieldsets.untimed(old):
            return Written(resource.shown(previous))
        if resource.generation and not subresource and resource.differs(new, old):
            meta["generation"] = before.get("generation", 1) + 1
        if options.dry_run:
            return Written(resource.shown(objects.dump(resource.stored(new))))
        return self._write(resource, new, previous)

    def _check_change(
        self,
        resource: Resource,
        new: JSON,
        old: JSON,
        findings: Findings,
        caller: Caller,
        subresource: str,
    ) -> None:
        own = rules.of(resource)
        if subresource:
            faults = [*rules.metadata(resource, new, old), *own.validate_status(new, old)]
            if faults:
                raise self._invalid(resource, new, faults)
            return
        own.prepare(new, old)
        own.complete(self, caller, new, old)
        self._judge(resource, new, old, findings)
        own.admit(self, caller, new, old)

    def _judge(self, resource: Resource, new: JSON, old: JSON | None, findings: Findings) -> None:
        """Raise ApiError 422 for an object that is not valid, or that cannot be had here."""
        own = rules.of(resource)
        common = list(rules.metadata(resource, new, old))
        faults = list(own.validate(new, old))
        if not faults or not own.apart:
            faults = [*common, *faults]
        # What Kubernetes would take is not held against what it would not take.
        faults = faults or [*findings.refused, *own.lacking(new)]
        if faults:
            raise self._invalid(resource, new, faults)

    def _write(self, resource: Resource, new: JSON, previous: str) -> Written:
        """Store a changed object; one whose deletion waited for this is removed."""
        with self.store.write() as transaction:
            return _keep(transaction, resource, new, previous)

    def modify(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[JSON], bool],
        *,
        uid: str = "",
    ) -> bool:
        """Change an object on behalf of the control plane itself: no rules apply.

        Args:
            resource: its resource.
            namespace: its namespace, or empty.
            name: its name.
            change: alters the object in place; False leaves it as it is.
            uid: only this very object.

        Returns:
            False if there is no such object (any more).
        """
        return self.modify_all([(resource, namespace, name, change, uid)]) == 1

    def modify_all(self, wanted: Sequence[Modification]) -> int:
        """Change several objects as `modify` does, all of them in one write or none.

        Returns:
            How many of them there are.
        """
        found, writes = 0, []
        for resource, namespace, name, change, uid in wanted:
            previous = self.store.get(resource.key, namespace, name)
            if previous is None:
                continue
            obj: JSON = objects.load(previous)
            if uid and objects.uid(obj) != uid:
                continue
            found += 1
            if change(obj):
                _record(resource, obj, previous)
                writes.append((resource, obj, previous))
        if writes:
            with self.store.write() as transaction:
                for resource, obj, previous in writes:
                    _keep(transaction, resource, obj, previous)
        return found

    # Deleting.

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        deletion: Deletion,
        *,
        dry_run: bool = False,
    ) -> Written:
        """Delete an object, or begin to: it may have to wait for its pod's end or finalizers.

        Raises:
            ApiError: 404, 409 (a precondition failed), 403 (it cannot be deleted).
        """
        previous = self._stored(resource, namespace, name)
        obj: JSON = objects.load(resource.shown(previous))
        meta = obj["metadata"]
        self._preconditions(resource, meta, deletion)
        if resource is kinds.NAMESPACES and name in ("default", "kube-system", "kube-public"):
            raise status.forbidden("namespaces", "", name, "this namespace may not be deleted")
        if not self._mark(resource, obj, deletion):
            return Written(resource.shown(previous))
        if dry_run:
            return Written(objects.dump(obj), gone=_released(resource, obj))
        if not _released(resource, obj):
            return self._write(resource, obj, previous)
        if resource is kinds.PODS:
            return self._end(resource, obj, previous)
        return self._remove(resource, previous)

    def _end(self, resource: Resource, obj: JSON, previous: str) -> Written:
        """Take out a pod that nothing keeps: whoever watches sees first that it is to go."""
        with self.store.write() as transaction:
            marked = transaction.replace(resource.key, obj, previous)
            data = transaction.remove(resource.key, obj, marked)
        return Written(data, gone=True)

    def _remove(self, resource: Resource, previous: str) -> Written:
        """Take out what nothing keeps; its last state says nothing of a deletion."""
        obj: JSON = objects.load(resource.shown(previous))
        with self.store.write() as transaction:
            data = transaction.remove(resource.key, resource.stored(obj), previous)
        return Written(resource.shown(data), gone=True)

    def _preconditions(self, resource: Resource, meta: JSON, deletion: Deletion) -> None:
        for label, wanted, found, why in (
            ("UID", deletion.uid, meta["uid"], "deleted and then recreated"),
            ("ResourceVersion", deletion.version, meta["resourceVersion"], "modified"),
        ):
            if not wanted or wanted == found:
                continue
            if resource is kinds.NAMESPACES:
                detail = (
                    f"Precondition failed: {label} in precondition: {wanted[:64]}, {label} in "
                    f"object meta: {found}"
                )
                raise status.conflict(resource.plural, resource.group, meta["name"], detail)
            raise status.conflict(
                resource.kind,
                resource.group,
                meta["name"],
                f"the {label} in the precondition ({wanted[:64]}) does not match the {label} "
                f"in record ({found}). The object might have been {why}",
            )

    def _mark(self, resource: Resource, obj: JSON, deletion: Deletion) -> bool:
        """Write into `obj` that its deletion was asked for; False if that changes nothing."""
        meta = obj["metadata"]
        before = objects.copy(meta)
        grace = _grace(obj, deletion) if resource is kinds.PODS else 0
        if not meta.get("deletionTimestamp") or grace < meta.get("deletionGracePeriodSeconds", 0):
            moment = datetime.now(UTC) + timedelta(seconds=grace)
            meta["deletionTimestamp"] = objects.stamp(moment)
            if resource is not kinds.NAMESPACES:
                meta["deletionGracePeriodSeconds"] = grace
            if not before.get("deletionTimestamp") and meta.get("generation"):
                # Whoever acts on it has something else to do now.
                meta["generation"] += 1
            policy = deletion.propagation or ("Orphan" if resource.orphans else "")
            extra = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
            if extra and extra not in meta.get("finalizers", ()):
                meta.setdefault("finalizers", []).append(extra)
            rules.of(resource).deleting(obj)
        if resource is kinds.NAMESPACES:
            obj["status"]["phase"] = "Terminating"
        return before != meta or _released(resource, obj)

    def remove_finalizer(self, resource: Resource, obj: Mapping[str, Any], name: str) -> None:
        """Take a finalizer off an object; the last one lets a deleted object go."""

        def change(current: JSON) -> bool:
            finalizers = current["metadata"].get("finalizers") or []
            if name not in finalizers:
                return False
            finalizers.remove(name)
            if not finalizers:
                del current["metadata"]["finalizers"]
            return True

        self.modify(
            resource, objects.namespace(obj), objects.name(obj), change, uid=objects.uid(obj)
        )

    def ensure(self, resource: Resource, namespace: str, body: JSON) -> None:
        """Create an object of the control plane's own unless one of its name is there."""
        try:
            self.create(resource, namespace, body, SYSTEM, Options(manager="tinykube"))
        except status.ApiError as error:
            if error.reason != "AlreadyExists":
                raise


# Which object a client means.
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
# Written by the system alone; a client's values are ignored.
_SYSTEM = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "selfLink",
    "managedFields",
)


def _untyped(resource: Resource, config: JSON, faults: Sequence[str]) -> status.ApiError:
    """An apply cannot own what its kind has not; Kubernetes calls that an internal error."""
    meta = config["metadata"]
    version = resource.api_version if resource.group else f"/{resource.version}"
    detail = faults[0] if len(faults) == 1 else "errors:\n  " + "\n  ".join(faults)
    place = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
    return status.ApiError(
        500,
        "",
        f"failed to create typed patch object ({place}; {version}, Kind={resource.kind}): "
        f"{detail}",
    )


def _part(resource: Resource, new: JSON, old: JSON, subresource: str) -> JSON:
    """What a write through a subresource makes of an object: one part and, mostly, metadata."""
    part = subresource
    if subresource == "finalize":
        part = "spec"
        new.setdefault(part, {})
    whole = {key: value for key, value in old.items() if key != part}
    if part in new:
        whole[part] = new[part]
    meta = objects.copy(old["metadata"])
    if resource.typed:
        meta = new["metadata"]
        if resource is kinds.PODS:
            # Kubelets once corrupted them.
            meta.pop("ownerReferences", None)
            if "ownerReferences" in old["metadata"]:
                meta["ownerReferences"] = old["metadata"]["ownerReferences"]
    return {**whole, "metadata": meta}


def _record(resource: Resource, new: JSON, previous: str) -> None:
    """Write down that the control plane itself changed an object, or its status alone."""
    entries = new["metadata"].get("managedFields")
    if not entries:
        return
    old: JSON = objects.load(previous)
    alone = resource.status and all(
        new.get(key) == old.get(key) for key in {*new, *old} if key != "status"
    )
    new["metadata"]["managedFields"] = fieldsets.updated(
        new,
        old,
        entries,
        resource.shape,
        "tinykube",
        "status" if alone else "",
        custom=not resource.typed,
    )


def _is_version(text: str) -> bool:
    """True for the number of a version."""
    return text.isascii() and text.isdigit() and int(text[:20]) > 0


def _check_version(meta: JSON) -> None:
    version = meta.get("resourceVersion")
    if version and not (version.isascii() and version.isdigit()):
        raise status.bad_request(f"metadata.resourceVersion: {version[:80]!r} is no version")


def _an_object(body: Any) -> JSON:
    if not isinstance(body, dict):
        raise status.bad_request("the patch must be an object")
    return body


def _grace(pod: JSON, deletion: Deletion) -> int:
    """How long the pod has to end: none for one that never ran or has ended."""
    if not pod["spec"].get("nodeName") or objects.finished(pod):
        return 0
    grace = deletion.grace
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
    # A grace period below nothing means "at once, but let the node end it first", as Kubernetes.
    return 1 if grace < 0 else int(grace)


def _keep(transaction: Transaction, resource: Resource, new: JSON, previous: str) -> Written:
    """Store a changed object; one whose deletion waited for this is removed."""
    if not _released(resource, new):
        data = transaction.replace(resource.key, resource.stored(new), previous)
        return Written(resource.shown(data))
    # What is removed is the state that the store has; the change that released it is not kept.
    last: JSON = objects.load(resource.shown(previous))
    version = last["metadata"]["resourceVersion"]
    transaction.remove(resource.key, resource.stored(last), previous)
    new["metadata"]["resourceVersion"] = version
    return Written(objects.dump(new), gone=True)


def _released(resource: Resource, obj: JSON) -> bool:
    """True if nothing keeps a deleted object any longer."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if resource is kinds.NAMESPACES and obj["spec"].get("finalizers"):
        return False
    return not meta.get("deletionGracePeriodSeconds")
