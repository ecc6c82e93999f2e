"""Secrets as `juju secrets` and `juju show-secret` print them."""

from __future__ import annotations

from typing import Any

from minijuju import secret_readers, secrets
from minijuju.secrets import Secret
from minijuju.state import State
from minijuju.vault import Vault


def document(
    state: State, vault: Vault, secret: Secret, *, reveal: bool, revision: int | None, all_: bool
) -> dict[str, Any]:
    """The secret as `juju show-secret --format json` prints it."""
    shown: dict[str, Any] = {
        "revision": revision or secret.latest,
        "owner": "<model>" if secret.owner_kind == "model" else secret.owner,
        "created": secrets.stamp(secret.created),
        "updated": secrets.stamp(secret.updated),
    }
    label = "name" if secret.owner_kind == "model" else "label"
    texts = {label: secret.label, "description": secret.description}
    shown.update({key: value for key, value in texts.items() if value})
    if secret.rotation and secret.rotation != "never":
        shown["rotation"] = secret.rotation
    if secret.next_rotation is not None:
        shown["rotates"] = secrets.stamp(secret.next_rotation)
    known = secrets.revisions(state, secret)
    latest = next((one for one in known if one.number == shown["revision"]), None)
    if latest and latest.expires is not None:
        shown["expires"] = secrets.stamp(latest.expires)
    readers = [
        {"target": subject, "scope": f"relation-{relation}", "role": "view"}
        for subject, relation in secret_readers.grants(state, secret)
    ]
    readers += [
        {"target": f"application-{name}", "scope": f"model-{secret.model}", "role": "view"}
        for name in secret_readers.access(state, secret)
    ]
    if readers:
        shown["access"] = readers
    if all_:
        shown["revisions"] = [
            {
                "revision": one.number,
                "backend": "internal",
                "created": secrets.stamp(one.created),
                "updated": secrets.stamp(one.created),
            }
            for one in known
        ]
    if reveal:
        content = secrets.read(state, vault, secret, shown["revision"])
        shown["content"] = {"Data": content, "Checksum": secrets.checksum(content)}
        shown["checksum"] = secrets.checksum(content)
    return shown
