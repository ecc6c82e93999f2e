"""Requests for OpenAPI documents."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tinykube import answers, objects, status
from tinykube.api.access import authorize, path_attributes
from tinykube.api.context import Context
from tinykube.api.errors import only
from tinykube.openapi.documents import Documents

_FOREVER = "public, immutable"


class OpenApi:
    """Serves them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._documents = Documents(context.registry.catalog)

    async def index(self, http: Request) -> Response:
        """Which documents there are."""
        authorize(self._context.registry.authorizer, http, path_attributes(http))
        only(http, "GET")
        return answers.raw(objects.dump(self._documents.index()))

    async def document(self, http: Request) -> Response:
        """One document; a client that names its hash may keep it for good."""
        authorize(self._context.registry.authorizer, http, path_attributes(http))
        only(http, "GET")
        name = http.path_params["name"]
        found = self._documents.document(name)
        if found is None:
            raise status.unknown_path()
        data, digest = found
        wanted = http.query_params.get("hash")
        if wanted is not None and wanted != digest:
            return RedirectResponse(f"/openapi/v3/{name}?hash={digest}", 301)
        headers = {"ETag": f'"{digest}"', "Vary": "Accept"}
        if wanted is not None:
            headers["Cache-Control"] = _FOREVER
        if http.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=answers.JSON_TYPE, headers=headers)
