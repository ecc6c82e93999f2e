"""`metrics.k8s.io`: what pods and nodes use now, for `kubectl top`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, kinds, objects, request, status
from tinykube.api import forms
from tinykube.api.context import Context
from tinykube.kinds import Resource
from tinykube.node.usage import Usage
from tinykube.objects import JSON
from tinykube.request import Target
from tinykube.selectors import Selector
from tinykube.store import Row


class Metrics:
    """Serves them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def answer(
        self, http: Request, target: Target, resource: Resource, asked: str
    ) -> Response:
        """One, or a list of those that match."""
        form = forms.asked(http)
        about = kinds.PODS if resource is kinds.POD_METRICS else kinds.NODES
        if asked == "get":
            found = [self._context.registry.get(about, target.namespace, target.name)]
            selector = Selector()
        else:
            found = [r.data for r in self._context.store.rows(about.key, target.namespace)]
            selector = request.selector(http.query_params, about)
        things = [objects.load(text) for text in found]
        things = [t for t in things if not selector or selector.matches(t, kinds.field_of)]
        if resource is kinds.POD_METRICS:
            bodies = await self._pods(things)
        else:
            bodies = await self._nodes(things)
        rows = [
            Row(objects.namespace(body), objects.name(body), objects.dump(body)) for body in bodies
        ]
        if asked == "get":
            if not rows:
                raise status.not_found(resource.plural, resource.group, target.name)
            return answers.raw(form.one(resource, rows[0].data))
        return answers.raw(form.many(resource, rows, {"resourceVersion": ""}))

    async def _pods(self, pods: Iterable[JSON]) -> list[JSON]:
        running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        used = await self._context.logs.usage(running)
        found = []
        for pod in running:
            own = {name: item for (uid, name), item in used.items() if uid == objects.uid(pod)}
            if own:
                body = _body(kinds.POD_METRICS, pod, max(item.window for item in own.values()))
                body["containers"] = [
                    {"name": name, "usage": _usage(item)} for name, item in own.items()
                ]
                found.append(body)
        return found

    async def _nodes(self, nodes: Iterable[JSON]) -> list[JSON]:
        """Nodes that tell; of others there are no metrics."""
        used = await self._context.logs.machines()
        return [
            {
                **_body(kinds.NODE_METRICS, node, used[objects.name(node)].window),
                "usage": _usage(used[objects.name(node)]),
            }
            for node in nodes
            if objects.name(node) in used
        ]


def _body(resource: Resource, thing: JSON, window: float) -> JSON:
    now = objects.stamp(datetime.now(UTC))
    meta: JSON = {"name": objects.name(thing), "creationTimestamp": now}
    if space := objects.namespace(thing):
        meta["namespace"] = space
    if labels := thing["metadata"].get("labels"):
        meta["labels"] = labels
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": meta,
        "timestamp": now,
        "window": f"{window:.3f}s",
    }


def _usage(item: Usage) -> JSON:
    return {"cpu": f"{round(item.cpu * 10**9)}n", "memory": f"{item.memory // 1024}Ki"}
