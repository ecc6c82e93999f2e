"""All objects that a request makes, in the order in which they are made."""

from __future__ import annotations

from typing import Any

from .pod import PodOptions, PodRequest, manifest
from .queue import job


def manifests(request: PodRequest, options: PodOptions) -> list[dict[str, Any]]:
    """Give the template of the pod's claim for GPUs, if it has one, and the pod or its Job."""
    queued = options.queue_of(request)
    found = [job(request, options) if queued else manifest(request, options)]
    template = options.gpus_of(request).template(options.labels)
    if template is not None:
        metadata = {**template["metadata"], "namespace": options.namespace}
        found.insert(0, {**template, "metadata": metadata})
    return found
