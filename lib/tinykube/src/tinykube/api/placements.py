"""Where a pod runs, decided by others: schedulers bind it, administrators evict it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tinykube import answers, kinds, objects, request, schema, status
from tinykube.api.context import Context
from tinykube.kinds.shapes import OBJECT_REFERENCE
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.request import Target
from tinykube.schema import Findings, ShapeError

_BINDING = schema.kind({"target": OBJECT_REFERENCE})
_OPTIONS = schema.Fields(
    {
        "apiVersion": "str",
        "kind": "str",
        "gracePeriodSeconds": "int",
        "propagationPolicy": "str",
        "preconditions": schema.Fields({"uid": "str", "resourceVersion": "str"}),
        "dryRun": schema.Many("str"),
        "orphanDependents": "bool",
    }
)
_EVICTION = schema.kind({"deleteOptions": _OPTIONS})


class Placements:
    """Serves `pods/binding` and `pods/eviction`."""

    def __init__(self, context: Context) -> None:
        self._registry = context.registry

    async def bind(self, http: Request, target: Target) -> Response:
        """Give a pod its node, once; contract: core/v1 Binding."""
        body = _read(await request.read_object(http), _BINDING, "v1", "Binding")
        options = request.options(http)
        name = target.name
        if body["metadata"].get("name", name) != name:
            raise status.bad_request("name in URL does not match name in Binding object")
        wanted = body.get("target") or {}
        faults = []
        if wanted.get("kind") not in (None, "", "Node"):
            faults.append(status.unsupported("target.kind", wanted["kind"], ("Node", "<empty>")))
        if not wanted.get("name"):
            faults.append(status.required("target.name"))
        if faults:
            raise status.invalid("Binding", "", name, faults)
        pod = objects.load(self._registry.get(kinds.PODS, target.namespace, name))
        known = pod["spec"].get("nodeName")
        why = ""
        if objects.terminating(pod):
            why = f"pod {name} is being deleted, cannot be assigned to a host"
        elif known:
            why = f'pod {name} is already assigned to node "{known}"'
        elif pod["spec"].get("schedulingGates"):
            why = f"pod {name} has non-empty .spec.schedulingGates"
        if why:
            raise status.conflict("pods/binding", "", name, why)

        def place(current: JSON) -> bool:
            current["spec"]["nodeName"] = wanted["name"]
            annotations = body["metadata"].get("annotations")
            if annotations:
                current["metadata"].setdefault("annotations", {}).update(annotations)
            objects.set_condition(current["status"], "PodScheduled", "True")
            return True

        if not options.dry_run:
            self._registry.modify(kinds.PODS, target.namespace, name, place, uid=objects.uid(pod))
        return _done()

    async def evict(self, http: Request, target: Target) -> Response:
        """Delete a pod, and say in its status by whose wish; contract: policy/v1 Eviction."""
        body = _read(await request.read_object(http), _EVICTION, "policy/v1", "Eviction")
        if body["metadata"].get("name", target.name) != target.name:
            raise status.bad_request("name in URL does not match name in Eviction object")
        given = body.get("deleteOptions") or {}
        dry_run = request.options(http).dry_run or bool(given.get("dryRun"))
        conditions = given.get("preconditions") or {}
        deletion = Deletion(
            grace=given.get("gracePeriodSeconds"),
            propagation=given.get("propagationPolicy") or "",
            uid=conditions.get("uid") or "",
            version=conditions.get("resourceVersion") or "",
        )
        place = (kinds.PODS, target.namespace, target.name)
        # Preconditions first: nothing is written about a pod that stays.
        self._registry.delete(*place, deletion, dry_run=True)
        if dry_run:
            return _done()

        def tell(pod: JSON) -> bool:
            return not objects.finished(pod) and objects.set_condition(
                pod["status"],
                "DisruptionTarget",
                "True",
                reason="EvictionByEvictionAPI",
                message="Eviction API: evicting",
            )

        self._registry.modify(*place, tell)
        # The version is the one before what was written just now.
        self._registry.delete(*place, replace(deletion, version=""))
        return _done()


def _done() -> Response:
    text = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    return answers.raw(objects.dump(text), code=201)


def _read(body: Any, shape: schema.Fields, api_version: str, kind: str) -> JSON:
    if not isinstance(body, dict):
        raise status.bad_request(f"the body must be an object of kind {kind}")
    # Old clients evict by the version that is no longer served.
    allowed = (api_version, api_version.replace("/v1", "/v1beta1"))
    if body.get("apiVersion", api_version) not in allowed or body.get("kind", kind) != kind:
        raise status.bad_request(f"this takes {api_version}, Kind={kind}")
    try:
        clean: JSON = schema.read(body, shape, "", Findings())
    except ShapeError as error:
        raise status.bad_request(f"{kind} cannot be read: {error}") from None
    clean.setdefault("metadata", {})
    return clean
