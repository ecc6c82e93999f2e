"""An object storage integrator at the other end of the relation `s3`, in ops.testing."""

from __future__ import annotations

import dataclasses

from ops import testing

KEYS = {"access-key": "key-of-the-store", "secret-key": "hidden-key-of-the-store"}
CHAIN = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"


def related(
    state: testing.State, data: dict[str, str], content: dict[str, str] = KEYS
) -> testing.State:
    """The state with an integrator that has published this.

    Args:
        state: the one without it.
        data: its databag.
        content: of the secret with the keys.
    """
    secret = testing.Secret(content, owner=None)
    relation = testing.Relation(
        "s3",
        remote_app_name="minio",
        remote_app_data={"version": "1.0", "secret-extra": secret.id, **data},
        local_app_data={"version": "1.0"},
        local_unit_data={"requested-secrets": '["access-key", "secret-key"]'},
    )
    return dataclasses.replace(
        state, relations=[*state.relations, relation], secrets=[*state.secrets, secret]
    )
