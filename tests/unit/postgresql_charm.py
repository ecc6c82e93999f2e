"""A PostgreSQL charm at the other end of the relation `database`, in ops.testing."""

from __future__ import annotations

import dataclasses

from ops import testing

USER = {"username": "relation_7", "password": "hidden-password"}
ENDPOINT = {"endpoints": "postgresql-k8s-primary.ml.svc.cluster.local:5432"}


def related(
    state: testing.State,
    data: dict[str, str] | None = None,
    content: dict[str, str] | None = USER,
    tls: dict[str, str] | None = None,
) -> testing.State:
    """The state with a PostgreSQL charm that has published this.

    Args:
        state: the one without it.
        data: its databag; None for an endpoint alone.
        content: of the secret with the user; None for no such secret.
        tls: of the secret about TLS; None for no such secret.
    """
    secrets = []
    data = dict(ENDPOINT if data is None else data)
    if content is not None:
        secrets.append(testing.Secret(content, owner=None))
        data["secret-user"] = secrets[-1].id
    if tls is not None:
        secrets.append(testing.Secret(tls, owner=None))
        data["secret-tls"] = secrets[-1].id
    relation = testing.Relation("database", remote_app_name="postgresql-k8s", remote_app_data=data)
    return dataclasses.replace(
        state, relations=[*state.relations, relation], secrets=[*state.secrets, *secrets]
    )
