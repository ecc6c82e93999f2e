"""Kubeconfigs: where a control plane is, and who asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .certificates import Pair


def write(
    path: Path, server: str, authority: Path, identity: Pair | str, namespace: str = "default"
) -> Path:
    """Write one (JSON is YAML), readable by its owner alone; `identity` may be a token."""
    if isinstance(identity, str):
        user: dict[str, Any] = {"token": identity}
    else:
        user = {
            "client-certificate": str(identity.certificate),
            "client-key": str(identity.key),
        }
    cluster = {"server": server, "certificate-authority": str(authority)}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": user}],
                "contexts": [{"name": "test", "context": context}],
                "current-context": "test",
            }
        )
    )
    return path
