"""Pipeline specs as they come in: read, checked, and written down in one canonical form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread

from .. import packages, spec
from ..spec.document import MAX_BYTES
from ..spec.model import Container
from ..store.interface import Version
from . import requests
from .context import Context, blocking
from .errors import invalid

_MOST_IMAGES: Final = 200
"""How many images of a spec are asked for before a run."""


@dataclass(frozen=True, slots=True)
class CheckedSpec:
    """A spec that can be run.

    Attributes:
        pipeline: the spec, typed.
        body: the spec as JSON: the pipeline spec, or `{pipeline_spec, platform_spec}`.
    """

    pipeline: spec.Pipeline
    body: bytes


async def from_package(context: Context, content: bytes) -> CheckedSpec:
    """Check an uploaded package; SpecError says what is wrong with it."""

    def check() -> CheckedSpec:
        return _checked(*spec.split(packages.document(content, MAX_BYTES)))

    return await anyio.to_thread.run_sync(check, limiter=context.parsing)


async def from_json(context: Context, data: Any) -> CheckedSpec:
    """Check the `pipeline_spec` of a request; SpecError says what is wrong with it."""

    def check() -> CheckedSpec:
        if isinstance(data, dict) and "pipeline_spec" in data:
            return _checked(data["pipeline_spec"], data.get("platform_spec"))
        return _checked(data, None)

    return await anyio.to_thread.run_sync(check, limiter=context.parsing)


async def from_store(context: Context, body: bytes) -> CheckedSpec:
    """Read a spec that was checked when it was stored; a newer version may refuse it."""
    return await from_json(context, json.loads(body))


async def source(context: Context, data: Mapping[str, Any]) -> tuple[CheckedSpec, Version | None]:
    """Give what a run is to run: the spec in the request, or a stored version's."""
    reference = requests.mapping(data, "pipeline_version_reference")
    given = data.get("pipeline_spec")
    if data.get("pipeline_version_id"):
        # The older spelling, which lacks the pipeline.
        raise invalid("pipeline_version_id", "say it in pipeline_version_reference")
    if (given is None) == (not reference):
        raise invalid(
            "pipeline_spec", "give either pipeline_spec or pipeline_version_reference, not both"
        )
    if given is not None:
        checked = await from_json(context, given)
        await _available(context, checked)
        return checked, None
    pipeline_id = requests.text(reference, "pipeline_id")
    version_id = requests.text(reference, "pipeline_version_id")
    if not pipeline_id:
        raise invalid("pipeline_version_reference.pipeline_id", "say which pipeline")

    def read() -> tuple[Version, bytes]:
        catalog = context.store.catalog
        version = (
            catalog.version(pipeline_id, version_id)
            if version_id
            else catalog.latest_version(pipeline_id)
        )
        return version, context.store.runs.spec(version.spec)

    version, body = await blocking(read)
    checked = await from_store(context, body)
    await _available(context, checked)
    return checked, version


async def _available(context: Context, checked: CheckedSpec) -> None:
    """See that there can be a pod for each step, as far as that is known beforehand.

    That an image is nowhere is not known of one that comes from a parameter.

    An image is looked for as the map of images has it, and the message has both.
    """
    places: dict[str, str] = {}
    for name, component in checked.pipeline.components.items():
        body = component.body
        if isinstance(body, Container) and "{{$" not in body.image:
            places.setdefault(body.image, name)
    images: dict[str, str] = {}
    for image in sorted(places)[:_MOST_IMAGES]:
        images.setdefault(context.images.of(image), image)
    for found, why in (await context.workloads.missing(list(images))).items():
        image = images[found]
        told = why if found == image else f"its image {image!r} is {found!r} by image_map: {why}"
        raise invalid(f"pipeline_spec.components.{places[image]}", told)
    for name, why in (await context.workloads.invalid(checked.pipeline)).items():
        told = f"Kubernetes does not take what it asks for: {why}"
        raise invalid(f"pipeline_spec.components.{name}", told)


def place(context: Context, checked: CheckedSpec, pipeline_root: str) -> None:
    """See that the artifacts of a run may go where it, or else its spec, says."""
    try:
        context.root.place(pipeline_root or checked.pipeline.default_root)
    except ValueError as error:
        raise invalid("runtime_config.pipeline_root", str(error)) from error


def _checked(pipeline_spec: Any, platform_spec: Any) -> CheckedSpec:
    pipeline = spec.parse(pipeline_spec, platform_spec)
    document = (
        {"pipeline_spec": pipeline_spec, "platform_spec": platform_spec}
        if platform_spec
        else pipeline_spec
    )
    body = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    try:
        return CheckedSpec(pipeline, body.encode())
    except UnicodeEncodeError as error:
        raise spec.SpecError("", "it holds half of a surrogate pair, which is no text") from error
