"""Pipeline specs as they come in: read, checked, and written down in one canonical form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from .. import packages, spec
from ..spec.document import MAX_BYTES
from .context import Context


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
