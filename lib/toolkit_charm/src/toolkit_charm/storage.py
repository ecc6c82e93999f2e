"""Where Juju keeps a unit's storage in Kubernetes, for charms whose pods mount it as well.

Needs the extra `toolkit-charm[kubernetes]`.
"""

from __future__ import annotations

from typing import Any

from lightkube import ApiError, Client
from lightkube.resources.core_v1 import PersistentVolumeClaim

from .status import Waiting, untrusted


def claim_name(client: Client, *, model: str, unit: str, storage: str) -> str:
    """Find the persistent volume claim behind a unit's storage.

    Args:
        client: with the rights of a trusted application.
        model: the model's name, which is the namespace.
        unit: `pipelines/0`.
        storage: the storage's name in charmcraft.yaml.

    Raises:
        Blocked: the application is not trusted.
        Waiting: the claim is not there yet.
    """
    application, _, number = unit.partition("/")
    labels: dict[str, Any] = {
        "app.kubernetes.io/name": application,
        "storage.juju.is/name": storage,
    }
    try:
        claims = [
            claim.metadata.name
            for claim in client.list(PersistentVolumeClaim, namespace=model, labels=labels)
            if claim.metadata is not None and claim.metadata.name is not None
        ]
    except ApiError as error:
        if error.status.code in (401, 403):
            raise untrusted(application) from error
        raise
    # A claim of a stateful set ends with its pod's name; the middle is Juju's to choose.
    mine = sorted(name for name in claims if name.endswith(f"-{application}-{number}"))
    if not mine:
        raise Waiting(f"no claim for the storage {storage} of {unit} yet")
    if len(mine) > 1:
        raise Waiting(f"several claims for the storage {storage} of {unit}: {', '.join(mine)}")
    return mine[0]
