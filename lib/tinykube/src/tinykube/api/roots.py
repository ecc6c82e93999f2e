"""The paths without objects: health, version, discovery."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tinykube import aggregated, answers, discovery, objects, status
from tinykube.api import forms
from tinykube.api.access import authorize, path_attributes
from tinykube.api.context import Context
from tinykube.api.errors import only
from tinykube.objects import JSON


class Roots:
    """Serves them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def healthz(self, http: Request) -> Response:
        """Alive."""
        only(http, "GET")
        return PlainTextResponse("ok")

    async def readyz(self, http: Request) -> Response:
        """Ready: what is wrong is named."""
        only(http, "GET")
        problems = self._context.health()
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 500)
        return PlainTextResponse("ok")

    async def version(self, http: Request) -> Response:
        """What this is."""
        forms.plain(http)
        only(http, "GET")
        return answers.raw(objects.dump(discovery.version()))

    async def discover(self, http: Request) -> Response:
        """What is served."""
        root = http.url.path.rstrip("/")
        version_of_form = aggregated.asked(http) if root in ("/api", "/apis") else ""
        if not version_of_form:
            forms.plain(http)
        authorize(self._context.registry.authorizer, http, path_attributes(http))
        only(http, "GET")
        if version_of_form:
            return self._aggregated(http, version_of_form, core=root == "/api")
        group, version = http.path_params.get("group"), http.path_params.get("version")
        catalog = self._context.registry.catalog
        match root:
            case "/api":
                found: JSON | None = discovery.core_versions(self._context.address)
            case "/api/v1":
                found = discovery.resource_list(catalog, "", "v1")
            case "/apis":
                found = discovery.group_list(catalog)
            case _ if version is None:
                found = discovery.group(catalog, str(group))
            case _:
                found = discovery.resource_list(catalog, str(group), version)
        if found is None:
            raise status.unknown_path()
        return answers.raw(objects.dump(found))

    def _aggregated(self, http: Request, version: str, *, core: bool) -> Response:
        text = aggregated.text(self._context.registry.catalog, version, core=core)
        headers = {
            "ETag": aggregated.etag(text),
            "Vary": "Accept",
            "Cache-Control": "public",
        }
        if http.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = aggregated.media_type(version)
        return Response(text.encode("ascii"), headers=headers)
