"""A control plane elsewhere as the node sees it: `NodeClient` over HTTPS.

What it asks for is what the Node authorizer and NodeRestriction let a kubelet have: its own Node
and Lease, the pods bound to it and what they name. So every refusal may be one of a moment (the
authorizer learns of a pod a little later than we do) and is tried again like a lost connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import httpx2

from tinykube import objects
from tinykube.node import registration
from tinykube.node.client import JSON, Endpoint, Kind, NotFoundError, PodEvent
from tinykube.node.connection import Connection

log = logging.getLogger(__name__)

_PATHS: Mapping[Kind, str] = {
    "Secret": "secrets",
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PersistentVolume": "persistentvolumes",
    "ServiceAccount": "serviceaccounts",
}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_SECONDS = 30.0
# A watch is asked to end after so many seconds; one that says nothing for longer is dead.
_WATCH_SECONDS, _WATCH_SILENCE = 300, 330.0
_RETRY, _LONGEST_RETRY = 0.2, 10.0
_REMEMBERED = 1000


class RefusedError(OSError):
    """The control plane answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class _ExpiredError(OSError):
    """The watch's history is gone: list again."""


@dataclass(slots=True)
class _Told:
    """An event that was told: its name and how often."""

    name: str
    count: int


class RemoteClient:
    """Serves a node on a control plane elsewhere; see `tinykube.node.client.NodeClient`.

    Args:
        connection: the control plane.
        agent: what to call oneself, `tinykube/v1.37.0`.
    """

    def __init__(self, connection: Connection, agent: str) -> None:
        self._connection = connection
        self._endpoint = Endpoint(connection.host, connection.port, connection.authority)
        self._http = httpx2.AsyncClient(
            base_url=connection.server,
            verify=connection.tls(),
            headers={"User-Agent": agent},
            timeout=_SECONDS,
            # A proxy of the environment is for the internet, not for a cluster's own traffic.
            trust_env=False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
        )
        self._events: OrderedDict[str, _Told] = OrderedDict()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    @property
    def endpoint(self) -> Endpoint:
        """The API's address for pods."""
        return self._endpoint

    async def register(self, node: JSON) -> None:
        """Create the Node, or bring labels and status of the existing one up to date."""
        path = f"/api/v1/nodes/{objects.name(node)}"
        try:
            current = await self._ask("GET", path)
        except NotFoundError:
            body = {key: value for key, value in node.items() if key != "status"}
            current = await self._ask("POST", "/api/v1/nodes", body)
        if labels := registration.labels(current, node):
            current = await self._ask("PATCH", path, {"metadata": {"labels": labels}}, _MERGE)
        status = registration.status(current, node, datetime.now(UTC))
        if status is None:
            return
        found = current.get("status") or {}
        for field in ("capacity", "allocatable"):
            # A merge keeps what it does not name: what is gone is named null.
            gone = dict.fromkeys(found.get(field) or {})
            status[field] = {**gone, **status[field]}
        version = current["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "status": status}
        await self._ask("PATCH", f"{path}/status", body, _MERGE)

    async def heartbeat(self, name: str, seconds: int) -> None:
        """Renew the node's lease."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": seconds, "renewTime": now}
        try:
            await self._ask("PATCH", f"{_LEASES}/{name}", {"spec": spec}, _MERGE)
        except NotFoundError:
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            await self._ask("POST", _LEASES, lease)

    async def watch_pods(self, node: str) -> AsyncIterator[PodEvent]:
        """Follow the pods bound to `node`; a broken connection is taken up where it broke."""
        query = {"fieldSelector": f"spec.nodeName={node}"}
        listed = await self._ask("GET", "/api/v1/pods", query=query)
        for item in listed.get("items") or ():
            yield PodEvent("ADDED", {"apiVersion": "v1", "kind": "Pod", **item})
        yield PodEvent("SYNCED", {})
        version, pause = str(listed["metadata"]["resourceVersion"]), _RETRY
        while True:
            try:
                async for event in self._changes(query, version):
                    pod = event["object"]
                    version = str(pod["metadata"]["resourceVersion"])
                    if event["type"] != "BOOKMARK":
                        yield PodEvent(event["type"], pod)
                    pause = _RETRY
            except _ExpiredError as error:
                log.info("the watch on pods begins anew: %s", error)
                return
            except OSError as error:
                log.warning("the watch on pods broke: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY)

    async def _changes(self, query: Mapping[str, str], version: str) -> AsyncIterator[JSON]:
        asked = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = httpx2.Timeout(_SECONDS, read=_WATCH_SILENCE)
        try:
            async with self._http.stream(
                "GET",
                "/api/v1/pods",
                params=asked,
                timeout=timeout,
                headers=self._connection.headers(),
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _fault(event["object"])
                    yield event
        except (httpx2.HTTPError, httpx2.StreamError, ValueError) as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        except RefusedError as error:
            raise (_ExpiredError(str(error)) if error.code == 410 else error) from None

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JSON:
        """Read one object. Raises NotFoundError."""
        space = f"/namespaces/{namespace}" if namespace else ""
        return await self._ask("GET", f"/api/v1{space}/{_PATHS[kind]}/{name}")

    async def token(
        self, namespace: str, account: str, pod: JSON, audiences: Sequence[str], seconds: int
    ) -> str:
        """Issue a token of a service account, bound to `pod`. Raises NotFoundError."""
        bound = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": objects.name(pod),
            "uid": objects.uid(pod),
        }
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": list(audiences),
                "expirationSeconds": seconds,
                "boundObjectRef": bound,
            },
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        made = await self._ask("POST", path, body)
        return str(made["status"]["token"])

    async def patch_status(self, namespace: str, name: str, uid: str, status: JSON) -> bool:
        """Replace the top-level keys of the pod's status; False if the pod is gone."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        body = {"metadata": {"uid": uid}, "status": status}
        try:
            # Conditions and addresses merge by type and address, so that others' stay.
            await self._ask("PATCH", path, body, _STRATEGIC)
        except NotFoundError:
            return False
        except RefusedError as error:
            if error.code == 409 and await self._other(namespace, name, uid):
                return False
            raise
        return True

    async def _other(self, namespace: str, name: str, uid: str) -> bool:
        """True if there is no pod of this name and uid any more."""
        try:
            found = await self._ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        except NotFoundError:
            return True
        return objects.uid(found) != uid

    async def remove_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete the pod for good."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": uid},
        }
        try:
            await self._ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", body)
        except NotFoundError:
            return
        except RefusedError as error:
            if error.code != 409:
                raise

    async def create_event(
        self, pod: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event about an object, or count one more of the same."""
        namespace = objects.namespace(pod) or "default"
        path = f"/api/v1/namespaces/{namespace}/events"
        uid = pod["metadata"].get("uid") or objects.name(pod)
        parts = "\0".join((uid, type_, reason, message))
        digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        now = objects.now()
        told = self._events.get(digest)
        if told is not None:
            told.count += 1
            try:
                body = {"count": told.count, "lastTimestamp": now}
                await self._ask("PATCH", f"{path}/{told.name}", body, _MERGE)
            except NotFoundError:
                # Events are forgotten after an hour.
                del self._events[digest]
            else:
                return
        name = f"{objects.name(pod)[:200]}.{digest}{int(time.time()):x}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": pod.get("apiVersion", "v1"),
                "kind": pod.get("kind", "Pod"),
                "name": objects.name(pod),
                "uid": uid,
                **({"namespace": namespace} if objects.namespace(pod) else {}),
            },
            "reason": reason,
            "message": message[:1024],
            "type": type_,
            "source": {"component": "kubelet"},
            "reportingComponent": "kubelet",
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        try:
            await self._ask("POST", path, event)
        except NotFoundError:
            # The namespace has gone together with what the event is about.
            return
        self._events[digest] = _Told(name, 1)
        if len(self._events) > _REMEMBERED:
            self._events.popitem(last=False)

    async def review(self, kind: str, group: str, spec: JSON) -> JSON:
        """Have the control plane judge: the status of a TokenReview or SubjectAccessReview."""
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        made = await self._ask("POST", f"/apis/{group}/v1/{kind.lower()}s", body)
        found: JSON = made.get("status") or {}
        return found

    async def _ask(
        self,
        method: str,
        path: str,
        body: JSON | None = None,
        form: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> JSON:
        """One request. Raises NotFoundError, RefusedError, OSError."""
        try:
            answer = await self._http.request(
                method,
                path,
                params=query,
                content=None if body is None else objects.dump(body).encode(),
                headers={"Content-Type": form, **self._connection.headers()},
            )
        except httpx2.HTTPError as error:
            raise OSError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.status_code == 404:
            raise NotFoundError(_refusal(answer).message)
        if answer.status_code >= 300:
            raise _refusal(answer)
        try:
            found = answer.json()
        except ValueError as error:
            raise OSError(f"{method} {path}: the answer is not JSON") from error
        if not isinstance(found, dict):
            raise OSError(f"{method} {path}: the answer is no object")
        return found


def _refusal(answer: httpx2.Response) -> RefusedError:
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text[:200] or answer.reason_phrase
    return RefusedError(answer.status_code, message)


def _fault(body: Mapping[str, Any]) -> RefusedError:
    return RefusedError(int(body.get("code") or 500), str(body.get("message") or "unknown"))
