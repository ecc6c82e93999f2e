"""Kubernetes objects that a charm keeps: from Jinja2 templates, applied server-side, labelled.

What a template or an option no longer asks for is deleted at the next `apply`, so that a refreshed
charm leaves nothing of the earlier one. Needs the extra `toolkit-charm[kubernetes]`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
from lightkube import ApiError, Client, codecs
from lightkube.core.resource import GlobalResource
from lightkube.types import CascadeType

from .status import untrusted

logger = logging.getLogger(__name__)

PART_OF: Final = "charmed-ml-toolkit"
_KEPT: Final = "toolkit.canonical.com/kept-by"


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects that one application keeps in its model's namespace.

    Attributes:
        client: with the rights of a trusted application.
        application, model: names; the model's is the namespace.
        folder: the templates, files `*.yaml.j2`; `app`, `model` and what `apply` is given are
            their variables, and one that is not known is an error.
        kinds: every kind that some template, of this charm or an earlier one, has made.
    """

    client: Client
    application: str
    model: str
    folder: Path
    kinds: Sequence[type[Any]]

    def apply(self, variables: Mapping[str, Any]) -> None:
        """Bring the cluster to what the templates say.

        Raises:
            Blocked: the application is not trusted.
        """
        try:
            wanted = self._render(variables)
            for each in wanted:
                self.client.apply(each, force=True)
            kept = {(type(each), each.metadata.name) for each in wanted}
            self._drop(kept)
        except ApiError as error:
            raise self._refused(error) from error

    def remove(self) -> None:
        """Delete all that `apply` made.

        Raises:
            Blocked: the application is not trusted.
        """
        try:
            self._drop(set())
        except ApiError as error:
            raise self._refused(error) from error

    @property
    def _owner(self) -> str:
        # Some kinds belong to no namespace, so the model's name is part of it.
        return f"{self.model}.{self.application}"

    def _render(self, variables: Mapping[str, Any]) -> list[Any]:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.folder),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - YAML; values are written by `tojson`
        )
        context = {"app": self.application, "model": self.model, **variables}
        found: list[Any] = []
        for name in sorted(path.name for path in self.folder.glob("*.yaml.j2")):
            text = environment.get_template(name).render(context)
            found += codecs.load_all_yaml(text)
        for each in found:
            each.metadata.labels = {
                **(each.metadata.labels or {}),
                "app.kubernetes.io/name": self.application,
                "app.kubernetes.io/part-of": PART_OF,
                _KEPT: self._owner,
            }
            if not isinstance(each, GlobalResource):
                each.metadata.namespace = self.model
        return found

    def _drop(self, kept: set[tuple[type[Any], Any]]) -> None:
        for kind in self.kinds:
            names = frozenset(name for each, name in kept if each is kind)
            delete(self.client, kind, self.model, {_KEPT: self._owner}, kept=names)

    def _refused(self, error: ApiError) -> Exception:
        if error.status.code in (401, 403):
            return untrusted(self.application)
        return error


def delete(
    client: Client,
    kind: type[Any],
    namespace: str,
    labels: dict[str, Any],
    *,
    kept: frozenset[str] = frozenset(),
) -> None:
    """Delete the objects of a kind that bear labels, but for those whose names are `kept`.

    Raises:
        ApiError: it is not allowed, say. That there is no such kind or object is no error.
    """
    # lightkube has two signatures here: kinds of a namespace, and kinds of none.
    place: Any = {} if issubclass(kind, GlobalResource) else {"namespace": namespace}
    api: Any = client
    try:
        for each in api.list(kind, labels=labels, **place):
            if each.metadata.name not in kept:
                logger.info("deleting %s %s", kind.__name__, each.metadata.name)
                _delete_one(api, kind, each.metadata.name, place)
    except ApiError as error:
        # A cluster without the kind has none of it.
        if error.status.code != 404:
            raise


def _delete_one(api: Any, kind: type[Any], name: str, place: Any) -> None:
    try:
        api.delete(kind, name, cascade=CascadeType.BACKGROUND, **place)
    except ApiError as error:
        if error.status.code != 404:
            raise
