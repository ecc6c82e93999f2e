"""Lists: what matches, on one snapshot, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, kinds, objects, request
from tinykube.api import forms, versions
from tinykube.api.context import Context
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.request import Target
from tinykube.selectors import Selector
from tinykube.store import Row


def matching(resource: Resource, rows: Iterable[Row], selector: Selector) -> Iterator[Row]:
    """The rows that a selector takes, as the resource's version shows them."""
    for row in rows:
        if not selector or selector.matches(objects.load(row.data), kinds.field_of):
            yield Row(row.namespace, row.name, resource.shown(row.data))


class Lists:
    """Serves lists."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def answer(self, http: Request, target: Target, resource: Resource) -> Response:
        """The objects that match."""
        form = forms.asked(http)
        query = http.query_params
        limit = request.limit(query)
        selector = request.selector(query, resource)
        after = ("", "")
        if token := query.get("continue"):
            place = request.place(token)
            version, after = place.version, (place.namespace, place.name)
            versions.check_covered(self._context.store, version)
        else:
            version = self._version(query)
        wanted = -1 if limit is None or selector else limit + 1
        rows = self._context.store.rows(
            resource.key, target.namespace, after=after, version=version, limit=wanted
        )
        found: list[Row] = []
        meta: JSON = {"resourceVersion": str(version)}
        for row in matching(resource, rows, selector):
            if limit is not None and len(found) == limit:
                last = found[-1]
                place = request.Place(version, last.namespace, last.name)
                meta["continue"] = place.token()
                if not selector:
                    meta["remainingItemCount"] = self._context.store.count(
                        resource.key,
                        target.namespace,
                        after=(last.namespace, last.name),
                        version=version,
                    )
                break
            found.append(row)
        return answers.raw(form.many(resource, found, meta))

    def _version(self, query: Mapping[str, str]) -> int:
        """The version that a list without `continue` shows."""
        match = query.get("resourceVersionMatch", "")
        given = query.get("resourceVersion", "")
        if not given or given == "0":
            return self._context.store.version
        version = versions.read(given)
        versions.check_reached(self._context.store, version)
        if match == "Exact":
            versions.check_covered(self._context.store, version)
            return version
        return self._context.store.version
