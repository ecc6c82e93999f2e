"""All objects that a request makes, in the order in which they are made."""

from __future__ import annotations

from typing import Any

from .pod import PodOptions, PodRequest, manifest
from .queue import job


def manifests(request: PodRequest, options: PodOptions) -> list[dict[str, Any]]:
    """Give the pod or its Job, last, after what it needs.

    That is the template of its claim for GPUs and the secret of its own, if it has them.
    """
    queued = options.queue_of(request)
    found = [job(request, options) if queued else manifest(request, options)]
    template = options.gpus_of(request).template(options.labels)
    if template is not None:
        metadata = {**template["metadata"], "namespace": options.namespace}
        found.insert(0, {**template, "metadata": metadata})
    if request.secret_env:
        found.insert(0, _secret(request, options))
    return found


def _secret(request: PodRequest, options: PodOptions) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": request.name,
            "namespace": options.namespace,
            "labels": {**request.labels, **options.labels},
        },
        "type": "Opaque",
        "stringData": dict(request.secret_env),
    }
