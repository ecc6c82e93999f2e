"""Requests for the scale of an object."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, fieldsets, objects, patch, request, scale, status
from tinykube.api.access import caller
from tinykube.api.context import Context
from tinykube.api.errors import not_allowed
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.request import Target
from tinykube.scale import Paths


class Scales:
    """Serves them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def answer(
        self, http: Request, target: Target, resource: Resource, paths: Paths, asked: str
    ) -> Response:
        """Show a scale, or change it."""
        if asked not in ("get", "update", "patch"):
            raise not_allowed()
        body = None if asked == "get" else await request.read_object(http)
        if asked != "get":
            options = request.options(http)
        wanted = scale.read(body) if asked == "update" else None
        if wanted is not None:
            scale.check_name(wanted, target.name)
        registry = self._context.registry
        # From here on nothing awaits: what is read is what is changed.
        obj = objects.load(registry.get(resource, target.namespace, target.name))
        if asked == "get":
            return answers.raw(objects.dump(scale.show(obj, paths)))
        if wanted is None:
            patched = _patched(http, scale.patched(obj, paths), body)
            try:
                wanted = scale.read(patched)
            except status.ApiError as error:
                raise patch.unreadable(error) from None
            scale.check_name(wanted, target.name)
        new = scale.change(obj, wanted, paths)
        numbers = scale.number(obj, paths), scale.number(new, paths)
        new["metadata"]["managedFields"] = fieldsets.scaled(
            obj["metadata"].get("managedFields") or (),
            paths.spec_replicas,
            numbers,
            options.manager,
            resource.api_version,
        )
        place = (resource, target.namespace, target.name)
        written = registry.update(*place, new, caller(http), options, owned=True)
        found = scale.show(objects.load(written.data), paths, strict=False)
        return answers.raw(objects.dump(found), warnings=options.warnings)


def _patched(http: Request, shown: JSON, body: object) -> object:
    kind = request.media_type(http)
    if kind == patch.JSON_PATCH:
        return patch.json_patch(shown, body)
    changes = patch.whole(body)
    if kind == patch.MERGE_PATCH:
        return patch.merge_patch(shown, changes)
    raise status.ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        f"{patch.JSON_PATCH}, {patch.MERGE_PATCH}",
    )
