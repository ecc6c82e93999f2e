"""Requests that change objects."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, objects, patch, request, status
from tinykube.api import forms
from tinykube.api.access import attributes, authorize, caller
from tinykube.api.context import Context
from tinykube.api.errors import not_allowed
from tinykube.api.forms import Form
from tinykube.api.lists import matching
from tinykube.kinds import Resource
from tinykube.options import Deletion
from tinykube.request import Target
from tinykube.status import ApiError
from tinykube.store import Row
from tinykube.verbs.written import Written


class Writes:
    """Serves writes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(self, http: Request, target: Target, resource: Resource) -> Response:
        """Store a new object."""
        form = forms.asked(http)
        if resource.namespaced and not target.namespace:
            raise not_allowed()
        options = request.options(http)
        body = await request.read_object(http)
        written = self._context.registry.create(
            resource, target.namespace, body, caller(http), options
        )
        return answers.raw(form.one(resource, written.data), code=201, warnings=options.warnings)

    async def change(self, http: Request, target: Target, resource: Resource) -> Response:
        """Replace or patch an object, or its status."""
        form = forms.asked(http)
        kind = request.media_type(http)
        if http.method == "PATCH" and not resource.strategic and kind not in patch.OF_EVERY_KIND:
            raise patch.untaken()
        options = request.options(http)
        who = caller(http)
        place = (resource, target.namespace, target.name)
        if http.method == "PUT":
            body = await request.read_object(http)
            if self._creates(target, resource):
                asked = replace(attributes(http, target, "create"), name="")
                authorize(self._context.registry.authorizer, http, asked)
                written = self._context.registry.put(*place, body, who, options)
            else:
                written = self._context.registry.update(
                    *place, body, who, options, subresource=target.subresource
                )
        else:
            body = await request.read_object(http)
            written = self._context.registry.patch(
                *place,
                kind,
                body,
                who,
                options,
                subresource=target.subresource,
            )
        code = 201 if written.created else 200
        return answers.raw(form.one(resource, written.data), code=code, warnings=options.warnings)

    def _creates(self, target: Target, resource: Resource) -> bool:
        """Whether an update makes a new object."""
        if not resource.upserts or target.subresource:
            return False
        return self._context.store.get(resource.key, target.namespace, target.name) is None

    async def delete(self, http: Request, target: Target, resource: Resource) -> Response:
        """Delete an object."""
        form = forms.asked(http)
        deletion, dry_run = await request.deletion(http)
        _warn_of_orphans(http, resource, deletion)
        written = self._context.registry.delete(
            resource, target.namespace, target.name, deletion, dry_run=dry_run
        )
        warnings = http.state.warnings
        return answers.raw(_deleted(resource, written, form), warnings=warnings)

    async def delete_all(self, http: Request, target: Target, resource: Resource) -> Response:
        """Delete what matches."""
        form = forms.asked(http)
        if resource.namespaced and not target.namespace:
            raise not_allowed()
        deletion, dry_run = await request.deletion(http)
        query = http.query_params
        limit = request.limit(query)
        selector = request.selector(query, resource)
        _warn_of_orphans(http, resource, deletion)
        deleted: list[Row] = []
        for row in matching(
            resource, self._context.store.rows(resource.key, target.namespace), selector
        ):
            if limit is not None and len(deleted) == limit:
                break
            try:
                self._context.registry.delete(
                    resource, target.namespace, row.name, deletion, dry_run=dry_run
                )
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
                continue
            # The answer shows what was there, as Kubernetes' does.
            deleted.append(row)
            if len(deleted) % 100 == 0:
                # Many deletions must not hold all other requests up.
                await asyncio.sleep(0)
        meta = {"resourceVersion": str(self._context.store.version)}
        return answers.raw(form.many(resource, deleted, meta), warnings=http.state.warnings)


def _warn_of_orphans(http: Request, resource: Resource, deletion: Deletion) -> None:
    """Kubernetes' warning for Jobs that leave their pods behind when nothing else is asked."""
    http.state.warnings = []
    if resource.orphans and not deletion.propagation:
        http.state.warnings.append(
            f"child pods are preserved by default when {resource.plural} are deleted; set "
            "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to "
            "suppress this warning"
        )


def _deleted(resource: Resource, written: Written, form: Form) -> str:
    if not written.gone or resource.returns:
        return form.one(resource, written.data)
    obj = objects.load(written.data)
    return objects.dump(
        status.success(resource.plural, resource.group, objects.name(obj), objects.uid(obj))
    )
