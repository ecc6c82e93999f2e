"""The two that are asked: a client of plain HTTP for each, with the administrator's rights."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

JSON = Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status code, the body (read as JSON where it is), warnings."""

    code: int
    body: JSON
    kind: str = "application/json"
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Server:
    """One of the two, by its kubeconfig.

    Attributes:
        name: for reports.
        client: asks with the administrator's identity.
    """

    name: str
    kubeconfig: Path
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context()
        if "certificate-authority" in cluster:
            context.load_verify_locations(cafile=cluster["certificate-authority"])
        else:
            pem = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
            context.load_verify_locations(cadata=pem)
        headers = {"User-Agent": "differential/1"}
        if "token" in user:
            headers["Authorization"] = f"Bearer {user['token']}"
        elif "client-certificate" in user:
            context.load_cert_chain(user["client-certificate"], user["client-key"])
        self.client = httpx2.Client(
            base_url=cluster["server"],
            verify=context,
            headers=headers,
            timeout=30,
            trust_env=False,
        )

    def close(self) -> None:
        """Give up its connections."""
        self.client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: JSON = None,
        content: str = "application/json",
    ) -> Answer:
        """Ask once; a `body` of bytes goes as it is, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.request(
            method,
            path,
            params=query or {},
            content=None if body is None else data,
            headers={} if body is None else {"Content-Type": content},
        )
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        found = answer.json() if kind == "application/json" else answer.text
        warnings = tuple(answer.headers.get_list("Warning"))
        return Answer(answer.status_code, found, kind, warnings)

    def watch(
        self, path: str, query: dict[str, str], until: Callable[[JSON], bool]
    ) -> Iterator[JSON]:
        """The events of a watch, up to the first that `until` holds of."""
        asked = {"watch": "1", "timeoutSeconds": "10", **query}
        with self.client.stream("GET", path, params=asked) as answer:
            for line in answer.iter_lines():
                event = json.loads(line)
                yield event
                if until(event):
                    return
