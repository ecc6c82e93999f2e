"""The administrator's kubeconfig."""

from __future__ import annotations

import base64
from pathlib import Path

from tinykube.pki import Pki, write_private


def write_kubeconfig(path: Path, port: int, keys: Pki) -> None:
    """Write it, readable for its owner alone."""
    authority = base64.b64encode(keys.authority.read_bytes()).decode("ascii")
    token = keys.admin_token.read_text(encoding="ascii").strip()
    # By hand: every value is ours and plain, and the reader sees the usual layout.
    text = f"""\
apiVersion: v1
kind: Config
clusters:
- name: tinykube
  cluster:
    certificate-authority-data: {authority}
    server: https://127.0.0.1:{port}
contexts:
- name: tinykube
  context:
    cluster: tinykube
    namespace: default
    user: tinykube-admin
current-context: tinykube
preferences: {{}}
users:
- name: tinykube-admin
  user:
    token: {token}
"""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_private(path, text.encode("utf-8"))
