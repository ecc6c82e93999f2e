"""What volumes hold that the node fills: secrets, config maps, fields of the pod, tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinykube.node import env
from tinykube.node.client import JSON, NodeClient, NotFoundError
from tinykube.node.env import Host
from tinykube.node.projection import File

_FILE_MODE = 0o644
# A token is renewed when this part of its life is over, or after so many seconds, as a kubelet
# does.
_RENEW_AFTER, _LONGEST = 0.8, 86400.0

KINDS = frozenset({"secret", "configMap", "downwardAPI", "projected"})


class SourceError(Exception):
    """What a volume is to hold is not there; the message says what."""


@dataclass(slots=True)
class Sources:
    """Reads what the volumes of one pod hold.

    Attributes:
        pod: as the API has it; may be replaced by a newer one.
    """

    pod: JSON
    client: NodeClient
    host: Host
    _tokens: dict[tuple[str, int], tuple[str, float]] = field(default_factory=dict)

    @property
    def renew_at(self) -> float | None:
        """When the next token is due, in seconds since the epoch; None without any."""
        return min((due for _, due in self._tokens.values()), default=None)

    async def files(self, volume: Mapping[str, Any]) -> dict[str, File]:
        """The files of a volume of one of `KINDS`.

        Raises NotFoundError, SourceError, `tinykube.node.env.ConfigError`.
        """
        if "secret" in volume:
            return await self._secret(volume["secret"], volume["secret"]["secretName"])
        if "configMap" in volume:
            return await self._config_map(volume["configMap"], volume["configMap"]["name"])
        if "downwardAPI" in volume:
            return dict(self._downward(volume["downwardAPI"]))
        return await self._projected(volume["projected"])

    async def _secret(self, source: Mapping[str, Any], name: str) -> dict[str, File]:
        namespace = self.pod["metadata"]["namespace"]
        try:
            data = env.decode(await self.client.get("Secret", namespace, name))
        except NotFoundError:
            if not source.get("optional"):
                raise
            data = {}
        return _select(data, source, f"secret {namespace}/{name}")

    async def _config_map(self, source: Mapping[str, Any], name: str) -> dict[str, File]:
        namespace = self.pod["metadata"]["namespace"]
        try:
            data = env.texts(await self.client.get("ConfigMap", namespace, name))
        except NotFoundError:
            if not source.get("optional"):
                raise
            data = {}
        return _select(data, source, f"configmap {namespace}/{name}")

    def _downward(self, source: Mapping[str, Any]) -> Iterator[tuple[str, File]]:
        mode = source.get("defaultMode", _FILE_MODE)
        for item in source.get("items") or ():
            if reference := item.get("resourceFieldRef"):
                containers = self.pod["spec"]["containers"]
                owner = next(c for c in containers if c["name"] == reference["containerName"])
                text = env.resource(owner, reference, self.host)
            else:
                text = env.field(self.pod, item["fieldRef"]["fieldPath"], self.host)
            yield item["path"], File(text.encode(), item.get("mode", mode))

    async def _projected(self, source: Mapping[str, Any]) -> dict[str, File]:
        files: dict[str, File] = {}
        mode = source.get("defaultMode", _FILE_MODE)
        for part in source.get("sources") or ():
            for kind, body in part.items():
                body = {"defaultMode": mode, **body}
                if kind == "secret":
                    files |= await self._secret(body, body["name"])
                elif kind == "configMap":
                    files |= await self._config_map(body, body["name"])
                elif kind == "downwardAPI":
                    files |= dict(self._downward(body))
                elif kind == "serviceAccountToken":
                    files[body["path"]] = File((await self._token(body)).encode(), mode)
                else:
                    raise SourceError(f"this node cannot project a {kind}")
        return files

    async def _token(self, source: Mapping[str, Any]) -> str:
        seconds = int(source.get("expirationSeconds") or 3600)
        audience = source.get("audience") or ""
        now = time.time()
        known = self._tokens.get((audience, seconds))
        if known is not None and now < known[1] <= now + seconds:
            return known[0]
        token = await self.client.token(
            self.pod["metadata"]["namespace"],
            self.pod["spec"].get("serviceAccountName") or "default",
            self.pod,
            [audience] if audience else [],
            seconds,
        )
        self._tokens[audience, seconds] = token, now + min(seconds * _RENEW_AFTER, _LONGEST)
        return token


def _select(data: Mapping[str, bytes], source: Mapping[str, Any], what: str) -> dict[str, File]:
    """The files of a secret or config map: all keys, or those of `items` under their paths."""
    mode = source.get("defaultMode", _FILE_MODE)
    items = source.get("items")
    if items is None:
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise SourceError(f"{what} has no key {item['key']}")
    return files
