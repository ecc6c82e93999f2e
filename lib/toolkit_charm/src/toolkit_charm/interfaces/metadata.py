"""The interface `toolkit_metadata`: where the metadata service is and the token for it.

The provider's leader writes to its application databag, each field as JSON:

| field | value |
|---|---|
| `schema_version` | 1 |
| `url` | `http://ADDRESS:PORT`, reachable from pods, without a slash at the end |
| `secret_id` | URI of a secret, granted over the relation, whose key `token` holds the token |

The requirer writes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

import ops
import pydantic

from ..status import Blocked, Waiting
from ..tokens import KEY


def _url(text: str) -> str:
    url = pydantic.TypeAdapter(pydantic.HttpUrl).validate_python(text)
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("must hold no user, query or fragment")
    return text.rstrip("/")


class MetadataData(pydantic.BaseModel):
    """The provider's application databag."""

    model_config = pydantic.ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    url: Annotated[str, pydantic.AfterValidator(_url)]
    secret_id: Annotated[str, pydantic.Field(pattern=r"^secret:[A-Za-z0-9/-]+$")]


@dataclass(frozen=True, slots=True)
class MetadataInfo:
    """What a requirer needs: the service's URL and the token to send as a bearer."""

    url: str
    token: str = field(repr=False)


class MetadataProvider:
    """The side that serves.

    Args:
        charm: the charm.
        endpoint: the relation's name in charmcraft.yaml.
    """

    def __init__(self, charm: ops.CharmBase, endpoint: str) -> None:
        self._charm = charm
        self._endpoint = endpoint

    def publish(self, *, url: str, secret: ops.Secret) -> None:
        """Tell every related application; only the leader may. Nothing new is written twice."""
        secret_id = secret.id or secret.get_info().id
        data = MetadataData(url=url, secret_id=secret_id)
        for relation in self._charm.model.relations[self._endpoint]:
            if not relation.active or relation.app is None:
                continue
            secret.grant(relation)
            relation.save(data, self._charm.app)


class MetadataRequirer:
    """The side that uses the service; at most one relation.

    Args:
        charm: the charm.
        endpoint: the relation's name in charmcraft.yaml.
    """

    def __init__(self, charm: ops.CharmBase, endpoint: str) -> None:
        self._charm = charm
        self._endpoint = endpoint

    def load(self) -> MetadataInfo | None:
        """Read what the other side published; None if there is no relation.

        Raises:
            Waiting: the relation is there, its data or its secret is not yet.
            Blocked: the other side published what this version cannot read.
        """
        relation = self._charm.model.get_relation(self._endpoint)
        if relation is None or relation.app is None or not relation.active:
            return None
        if not relation.data[relation.app].get("url"):
            raise Waiting(f"{relation.app.name} has not published its address yet")
        try:
            data = relation.load(MetadataData, relation.app)
        except (pydantic.ValidationError, json.JSONDecodeError) as error:
            raise Blocked(
                f"relation {self._endpoint}: cannot read what {relation.app.name} published; "
                "refresh both charms to versions that match"
            ) from error
        try:
            secret = self._charm.model.get_secret(id=data.secret_id)
            token = secret.get_content(refresh=True).get(KEY)
        except (ops.SecretNotFoundError, ops.ModelError) as error:
            raise Waiting(f"{relation.app.name} has not granted its token yet") from error
        if not token:
            raise Blocked(f"the secret of {relation.app.name} holds no {KEY!r}")
        return MetadataInfo(url=data.url, token=token)
