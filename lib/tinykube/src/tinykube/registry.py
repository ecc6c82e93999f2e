"""The operations on objects: create, read, update, patch, delete, with Kubernetes' semantics.

Everything here runs in the event loop's thread and never awaits, so each operation is atomic.
What an operation does to the store is in `verbs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sandbox.network import FIRST, Subnet
from tinykube import decoding, objects, patch, status
from tinykube.admission.tallies import Tallies
from tinykube.catalog import Catalog
from tinykube.crd.definitions import Definitions
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM, Authorizer, Caller
from tinykube.store import Store
from tinykube.verbs import modification, reference
from tinykube.verbs.apply import apply
from tinykube.verbs.creation import create
from tinykube.verbs.deletion import delete
from tinykube.verbs.modification import Modification
from tinykube.verbs.update import update
from tinykube.verbs.written import Written


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
        # What a dry run of a pod warns of; set before serving.
        self.unavailable: Callable[[JSON], Iterable[str]] = lambda pod: ()

    # On behalf of clients.

    def get(self, resource: Resource, namespace: str, name: str) -> str:
        """One object's JSON. Raises ApiError 404."""
        return resource.shown(self._stored(resource, namespace, name))

    def _stored(self, resource: Resource, namespace: str, name: str) -> str:
        data = self.store.get(resource.key, namespace, name)
        if data is None:
            raise status.not_found(resource.plural, resource.group, name)
        return data

    def create(
        self, resource: Resource, namespace: str, body: Any, caller: Caller, options: Options
    ) -> Written:
        """Store a new object.

        Raises:
            ApiError: 400, 403, 404 (its namespace), 409, 422.
        """
        new, findings = decoding.decode(resource, body, options)
        return create(self, resource, namespace, new, findings, caller, options)

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
        reference.check_name(new, name)
        meta = new["metadata"]
        if meta.get("uid"):
            raise reference.unmet(resource, name, meta["uid"], "")
        reference.check_version(meta)
        if not options.dry_run:
            # Unlike a creation, it may name one; what is not there has none.
            meta.pop("resourceVersion", None)
        return create(self, resource, namespace, new, findings, caller, options)

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
        reference.check_name(new, name)
        previous = self._stored(resource, namespace, name)
        if not resource.unconditional and not new["metadata"].get("resourceVersion"):
            fault = status.wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise status.invalid(resource.plural, resource.group, name, [fault])
        return update(
            self,
            resource,
            new,
            findings,
            previous,
            caller,
            options,
            subresource=subresource,
            applied=owned,
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
            return apply(self, resource, namespace, name, body, caller, options, subresource)
        previous = self._stored(resource, namespace, name)
        old = objects.load(resource.shown(previous))
        patched = patch.patched(resource, old, content_type, body)
        if resource.typed and decoding.unversioned(resource, patched):
            if options.validation == "Warn":
                unknown = sorted(patched.keys() - {"apiVersion", "kind"})
                options.warnings += [f'unknown field "{member[:80]}"' for member in unknown]
            raise status.undeterminable(name)
        try:
            new, findings = decoding.decode(resource, patched, options)
        except status.ApiError as error:
            raise patch.unreadable(error) from None
        reference.check_name(new, name)
        return update(
            self, resource, new, findings, previous, caller, options, subresource=subresource
        )

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
        return delete(self.store, resource, previous, deletion, dry_run=dry_run)

    # On behalf of the control plane itself.

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
        return modification.modify(self.store, wanted)

    def remove_finalizer(self, resource: Resource, obj: Mapping[str, Any], name: str) -> None:
        """Take a finalizer off an object; the last one lets a deleted object go."""
        place = (resource, objects.namespace(obj), objects.name(obj))
        self.modify(*place, modification.without_finalizer(name), uid=objects.uid(obj))

    def ensure(self, resource: Resource, namespace: str, body: JSON) -> None:
        """Create an object of the control plane's own unless one of its name is there."""
        try:
            self.create(resource, namespace, body, SYSTEM, Options(manager="tinykube"))
        except status.ApiError as error:
            if error.reason != "AlreadyExists":
                raise
