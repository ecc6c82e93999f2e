"""Pipelines and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..filters import Field, Kind
from ..store.interface import Pipeline, Version
from . import messages, requests, specs
from .context import Context, blocking, context_of
from .errors import ApiError, Code, invalid
from .responses import MessageResponse

FIELDS: Mapping[str, Field] = {
    "id": Field("pipeline_id"),
    "pipeline_id": Field("pipeline_id"),
    "name": Field("name"),
    "display_name": Field("display_name"),
    "description": Field("description"),
    "namespace": Field("namespace"),
    "created_at": Field("created", Kind.TIME),
}

VERSION_FIELDS: Mapping[str, Field] = {
    "id": Field("pipeline_version_id"),
    "pipeline_version_id": Field("pipeline_version_id"),
    "pipeline_id": Field("pipeline_id"),
    "name": Field("name"),
    "display_name": Field("display_name"),
    "description": Field("description"),
    "created_at": Field("created", Kind.TIME),
}


# Uploads


async def upload(request: Request) -> Response:
    """POST /pipelines/upload: a package becomes a pipeline with its first version."""
    context, query = context_of(request), request.query_params
    requests.namespace(context, query.get("namespace", ""))
    name, shown = requests.name(query, "name"), requests.name(query, "display_name")
    description = requests.text(query, "description", limit=requests.MAX_DESCRIPTION)
    tags = requests.tags(query.get("tags"))
    content, filename = await requests.uploaded(request)
    checked = await specs.from_package(context, content)
    name = name or requests.name({"name": filename}, "name") or checked.pipeline.name
    pipeline = Pipeline(
        pipeline_id=str(uuid.uuid4()),
        name=name,
        display_name=shown or name,
        description=description or checked.pipeline.description,
        created=context.clock(),
        tags=tags,
    )
    version = Version(
        pipeline_version_id=str(uuid.uuid4()),
        pipeline_id=pipeline.pipeline_id,
        name=name,
        display_name=shown or name,
        description=description,
        created=pipeline.created,
        spec="",
        tags=tags,
    )
    await blocking(
        lambda: context.store.catalog.create_pipeline_and_version(pipeline, version, checked.body)
    )
    return MessageResponse(messages.pipeline(pipeline))


async def upload_version(request: Request) -> Response:
    """POST /pipelines/upload_version: a package becomes a version of a pipeline."""
    context, query = context_of(request), request.query_params
    pipeline_id = query.get("pipelineid", "")
    if not pipeline_id:
        raise invalid("pipelineid", "say which pipeline it is a version of")
    name, shown = requests.name(query, "name"), requests.name(query, "display_name")
    description = requests.text(query, "description", limit=requests.MAX_DESCRIPTION)
    tags = requests.tags(query.get("tags"))
    content, filename = await requests.uploaded(request)
    checked = await specs.from_package(context, content)
    name = name or requests.name({"name": filename}, "name") or checked.pipeline.name
    version = Version(
        pipeline_version_id=str(uuid.uuid4()),
        pipeline_id=pipeline_id,
        name=name,
        display_name=shown or name,
        description=description,
        created=context.clock(),
        spec="",
        tags=tags,
    )
    await blocking(lambda: context.store.catalog.create_version(version, checked.body))
    return MessageResponse(messages.version(version, checked.body))


# Pipelines


def _pipeline(context: Context, data: Mapping[str, Any]) -> Pipeline:
    requests.namespace(context, requests.name(data, "namespace"))
    shown = requests.name(data, "display_name")
    name = requests.name(data, "name") or shown
    if not name:
        raise invalid("name", "a pipeline needs a name")
    return Pipeline(
        pipeline_id=str(uuid.uuid4()),
        name=name,
        display_name=shown or name,
        description=requests.text(data, "description", limit=requests.MAX_DESCRIPTION),
        created=context.clock(),
        tags=requests.tags(data.get("tags")),
    )


async def create(request: Request) -> Response:
    """POST /pipelines: a pipeline without versions."""
    context = context_of(request)
    pipeline = _pipeline(context, await requests.json_object(request))
    await blocking(lambda: context.store.catalog.create_pipeline(pipeline))
    return MessageResponse(messages.pipeline(pipeline))


async def create_with_version(request: Request) -> Response:
    """POST /pipelines/create: a pipeline and its first version."""
    context = context_of(request)
    data = await requests.json_object(request)
    pipeline = _pipeline(context, requests.mapping(data, "pipeline"))
    version, body = await _version(
        context,
        pipeline.pipeline_id,
        requests.mapping(data, "pipeline_version"),
        fallback=pipeline.name,
    )
    await blocking(
        lambda: context.store.catalog.create_pipeline_and_version(pipeline, version, body)
    )
    return MessageResponse(messages.pipeline(pipeline))


async def get(request: Request) -> Response:
    """GET /pipelines/{pipeline_id}."""
    context, pipeline_id = context_of(request), request.path_params["pipeline_id"]
    pipeline = await blocking(lambda: context.store.catalog.pipeline(pipeline_id))
    return MessageResponse(messages.pipeline(pipeline))


async def get_by_name(request: Request) -> Response:
    """GET /pipelines/names/{name}."""
    context, name = context_of(request), request.path_params["name"]
    requests.namespace(context, request.query_params.get("namespace", ""))
    pipeline = await blocking(lambda: context.store.catalog.pipeline_named(name))
    return MessageResponse(messages.pipeline(pipeline))


async def list_(request: Request) -> Response:
    """GET /pipelines."""
    context = context_of(request)
    requests.namespace(context, request.query_params.get("namespace", ""))
    query = context.pager.query("pipelines", requests.page(request), FIELDS, {})
    found, total, following = await blocking(lambda: context.store.catalog.pipelines(query))
    token = context.pager.token("pipelines", query, following) if following else ""
    return MessageResponse(
        messages.listing("pipelines", [messages.pipeline(x) for x in found], total, token)
    )


def _changes(data: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if data.get("display_name"):
        changes["display_name"] = requests.name(data, "display_name")
    if data.get("description") is not None:
        changes["description"] = requests.text(data, "description", limit=requests.MAX_DESCRIPTION)
    if data.get("tags") is not None:
        changes["tags"] = requests.tags(data["tags"])
    return changes


async def update(request: Request) -> Response:
    """PATCH /pipelines/{pipeline_id}: display name, description and tags, if given."""
    context, pipeline_id = context_of(request), request.path_params["pipeline_id"]
    changes = _changes(await requests.json_object(request))
    pipeline = await blocking(lambda: context.store.catalog.update_pipeline(pipeline_id, changes))
    return MessageResponse(messages.pipeline(pipeline))


async def delete(request: Request) -> Response:
    """DELETE /pipelines/{pipeline_id}; with `?cascade=true` its versions as well."""
    context, pipeline_id = context_of(request), request.path_params["pipeline_id"]
    cascade = request.query_params.get("cascade", "").lower()
    if cascade not in ("", "true", "false"):
        raise invalid("cascade", "must be true or false")
    await blocking(
        lambda: context.store.catalog.delete_pipeline(pipeline_id, cascade=cascade == "true")
    )
    return MessageResponse({})


# Versions


async def _version(
    context: Context, pipeline_id: str, data: Mapping[str, Any], *, fallback: str = ""
) -> tuple[Version, bytes]:
    shown = requests.name(data, "display_name")
    name = requests.name(data, "name") or shown or fallback
    if not name:
        raise invalid("name", "a pipeline version needs a name")
    if data.get("package_url"):
        # To fetch what a request points to would let it reach whatever this service can.
        raise ApiError(
            Code.UNIMPLEMENTED,
            "package_url: this service fetches no packages; upload it, or send pipeline_spec",
            field="package_url",
        )
    if data.get("pipeline_spec") is None:
        raise invalid("pipeline_spec", "a pipeline version needs a spec")
    checked = await specs.from_json(context, data["pipeline_spec"])
    version = Version(
        pipeline_version_id=str(uuid.uuid4()),
        pipeline_id=pipeline_id,
        name=name,
        display_name=shown or name,
        description=requests.text(data, "description", limit=requests.MAX_DESCRIPTION),
        created=context.clock(),
        spec="",
        code_source_url=requests.text(data, "code_source_url", limit=2048),
        tags=requests.tags(data.get("tags")),
    )
    return version, checked.body


async def create_version(request: Request) -> Response:
    """POST /pipelines/{pipeline_id}/versions."""
    context, pipeline_id = context_of(request), request.path_params["pipeline_id"]
    version, body = await _version(context, pipeline_id, await requests.json_object(request))
    await blocking(lambda: context.store.catalog.create_version(version, body))
    return MessageResponse(messages.version(version, body))


async def get_version(request: Request) -> Response:
    """GET /pipelines/{pipeline_id}/versions/{version_id}."""
    context = context_of(request)
    pipeline_id, version_id = (request.path_params[n] for n in ("pipeline_id", "version_id"))

    def read() -> messages.Message:
        version = context.store.catalog.version(pipeline_id, version_id)
        return messages.version(version, context.store.runs.spec(version.spec))

    return MessageResponse(await blocking(read))


async def list_versions(request: Request) -> Response:
    """GET /pipelines/{pipeline_id}/versions; each with its spec, as in KFP."""
    context, pipeline_id = context_of(request), request.path_params["pipeline_id"]
    query = context.pager.query(
        "versions", requests.page(request), VERSION_FIELDS, {"pipeline_id": pipeline_id}
    )

    def read() -> messages.Message:
        context.store.catalog.pipeline(pipeline_id)
        found, total, following = context.store.catalog.versions(query)
        bodies = context.store.catalog.specs({each.spec for each in found})
        token = context.pager.token("versions", query, following) if following else ""
        return messages.listing(
            "pipeline_versions",
            [messages.version(each, bodies.get(each.spec)) for each in found],
            total,
            token,
        )

    return MessageResponse(await blocking(read))


async def update_version(request: Request) -> Response:
    """PATCH /pipelines/{pipeline_id}/versions/{version_id}: as for pipelines."""
    context = context_of(request)
    pipeline_id, version_id = (request.path_params[n] for n in ("pipeline_id", "version_id"))
    changes = _changes(await requests.json_object(request))
    version = await blocking(
        lambda: context.store.catalog.update_version(pipeline_id, version_id, changes)
    )
    return MessageResponse(messages.version(version))


async def delete_version(request: Request) -> Response:
    """DELETE /pipelines/{pipeline_id}/versions/{version_id}."""
    context = context_of(request)
    pipeline_id, version_id = (request.path_params[n] for n in ("pipeline_id", "version_id"))
    await blocking(lambda: context.store.catalog.delete_version(pipeline_id, version_id))
    return MessageResponse({})


ROUTES = [
    Route("/pipelines/upload", upload, methods=["POST"]),
    Route("/pipelines/upload_version", upload_version, methods=["POST"]),
    Route("/pipelines/create", create_with_version, methods=["POST"]),
    Route("/pipelines", create, methods=["POST"]),
    Route("/pipelines", list_, methods=["GET"]),
    Route("/pipelines/names/{name:path}", get_by_name, methods=["GET"]),
    Route("/pipelines/{pipeline_id}", get, methods=["GET"]),
    Route("/pipelines/{pipeline_id}", update, methods=["PATCH"]),
    Route("/pipelines/{pipeline_id}", delete, methods=["DELETE"]),
    Route("/pipelines/{pipeline_id}/versions", create_version, methods=["POST"]),
    Route("/pipelines/{pipeline_id}/versions", list_versions, methods=["GET"]),
    Route("/pipelines/{pipeline_id}/versions/{version_id}", get_version, methods=["GET"]),
    Route("/pipelines/{pipeline_id}/versions/{version_id}", update_version, methods=["PATCH"]),
    Route("/pipelines/{pipeline_id}/versions/{version_id}", delete_version, methods=["DELETE"]),
]
