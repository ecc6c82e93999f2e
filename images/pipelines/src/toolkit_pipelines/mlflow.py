"""MLflow's REST API, as far as runs are recorded in it (2.0, with what MLflow 3 added: models).

aiohttp and JSON: MLflow's own client would bring a hundred times the code. Every call here may be
made again after its answer was lost.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from yarl import URL

from .delivery import UnreachableError
from .outgoing import FAILURES, Session, body, why

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PARAM: Final = 6000
MAX_TAG: Final = 8000
MAX_KEY: Final = 250
MAX_MODEL_TAG: Final = 5000
MAX_DATASET_DIGEST: Final = 36
_BATCH: Final = {"params": 100, "metrics": 1000, "tags": 100}
# The whole is bounded since to send is not otherwise, while the server reads nothing.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120.0, sock_connect=30.0, sock_read=30.0)
_RETRY: Final = frozenset({401, 403, 408, 425, 429, 500, 502, 503, 504})


class RejectedError(Exception):
    """MLflow will never take this.

    Attributes:
        code: MLflow's own (`RESOURCE_DOES_NOT_EXIST`, `INVALID_PARAMETER_VALUE`, ...).
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}" if code else message)


@dataclass(frozen=True, slots=True)
class Found:
    """A run as MLflow has it; `alive` is False once someone deleted it there."""

    run_id: str
    artifact_uri: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run took, as MLflow has it.

    Attributes:
        name: what the run calls it.
        digest: of its content, or of its address if nobody knows that; MLflow takes 36 characters.
        source: where it is and what made it; JSON.
    """

    name: str
    digest: str
    source: Mapping[str, str]


class MLflow:
    """A tracking server.

    Args:
        url: its address.
        token: gives the bearer token for each call, or "".
    """

    def __init__(self, url: str, token: Callable[[], str] = lambda: "") -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._http = Session(_TIMEOUT)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def experiment(self, name: str) -> str:
        """Give the id of the experiment of that name, made or restored if need be."""
        while True:
            try:
                found = await self._get("experiments/get-by-name", experiment_name=name)
            except RejectedError as error:
                if error.code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                experiment = found["experiment"]
                if experiment.get("lifecycle_stage") == "deleted":
                    await self._post(
                        "experiments/restore", experiment_id=experiment["experiment_id"]
                    )
                return str(experiment["experiment_id"])
            try:
                made = await self._post("experiments/create", name=name)
            except RejectedError as error:
                # Someone else was faster, a step perhaps.
                if error.code != "RESOURCE_ALREADY_EXISTS":
                    raise
            else:
                return str(made["experiment_id"])

    async def find(self, experiment: str, tags: Mapping[str, str]) -> Found | None:
        """Give the oldest run with these tags, deleted ones included."""
        wanted = " and ".join(f"tags.`{key}` = '{_quoted(tags[key])}'" for key in sorted(tags))
        found = await self._post(
            "runs/search",
            experiment_ids=[experiment],
            filter=wanted,
            run_view_type="ALL",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        for run in found.get("runs") or []:
            info = run["info"]
            return Found(
                str(info["run_id"]),
                str(info.get("artifact_uri") or ""),
                info.get("lifecycle_stage") != "deleted",
            )
        return None

    async def create(
        self, experiment: str, name: str, start: float, tags: Mapping[str, str]
    ) -> Found:
        """Make a run that is running."""
        made = await self._post(
            "runs/create",
            experiment_id=experiment,
            run_name=name,
            start_time=_milliseconds(start),
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
        info = made["run"]["info"]
        return Found(str(info["run_id"]), str(info.get("artifact_uri") or ""), True)

    async def update(self, run: str, status: str, end: float | None = None) -> None:
        """Set a run's status: RUNNING, FINISHED, FAILED or KILLED."""
        body: dict[str, Any] = {"run_id": run, "status": status}
        if end is not None:
            body["end_time"] = _milliseconds(end)
        await self._post("runs/update", **body)

    async def log(
        self,
        run: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        time: float = 0.0,
    ) -> None:
        """Record values; the same ones again change nothing."""
        moment = _milliseconds(time)
        groups: dict[str, list[dict[str, Any]]] = {
            "params": [
                {"key": key, "value": _short(value, MAX_PARAM)}
                for key, value in (params or {}).items()
            ],
            "metrics": [
                {"key": key, "value": value, "timestamp": moment, "step": 0}
                for key, value in (metrics or {}).items()
                if math.isfinite(value)
            ],
            "tags": [
                {"key": key, "value": _short(value, MAX_TAG)}
                for key, value in (tags or {}).items()
            ],
        }
        for name, values in groups.items():
            for batch in _batches(values, _BATCH[name]):
                await self._post("runs/log-batch", run_id=run, **{name: batch})

    async def inputs(
        self, run: str, datasets: Sequence[Dataset], models: Sequence[str] = ()
    ) -> None:
        """Record what a run took; the same again changes nothing."""
        body: dict[str, Any] = {
            "datasets": [
                {
                    "dataset": {
                        "name": each.name,
                        "digest": each.digest,
                        "source_type": "kfp",
                        "source": json.dumps(each.source, sort_keys=True),
                    },
                    "tags": [{"key": "mlflow.data.context", "value": each.name}],
                }
                for each in datasets
            ],
            "models": [{"model_id": each} for each in models],
        }
        await self._post(
            "runs/log-inputs", run_id=run, **{name: each for name, each in body.items() if each}
        )

    async def model(self, experiment: str, tag: str, value: str) -> str:
        """Give the id of the oldest logged model with a tag; "" if there is none."""
        found = await self._post(
            "logged-models/search",
            experiment_ids=[experiment],
            filter=f"tags.`{tag}` = '{_quoted(value)}'",
            max_results=1,
            order_by=[{"field_name": "creation_timestamp", "ascending": True}],
        )
        models = found.get("models") or []
        return str(models[0]["info"]["model_id"]) if models else ""

    async def create_model(
        self, experiment: str, run: str, name: str, kind: str, tags: Mapping[str, str]
    ) -> str:
        """Make a logged model that a run made; give its id."""
        made = await self._post(
            "logged-models",
            experiment_id=experiment,
            name=name,
            model_type=kind,
            source_run_id=run,
            tags=[
                {"key": key, "value": _short(value, MAX_MODEL_TAG)} for key, value in tags.items()
            ],
        )
        return str(made["model"]["info"]["model_id"])

    async def outputs(self, run: str, model: str) -> None:
        """Record that a run gave a logged model, which is ready; again changes nothing."""
        path = f"/api/2.0/mlflow/logged-models/{quote(model, safe='')}"
        told = {"model_id": model, "status": "LOGGED_MODEL_READY"}
        await self._call("PATCH", path, _json(told))
        # Unlike all else, MLflow takes no output twice.
        found = await self._get("runs/get", run_id=run)
        known = found["run"].get("outputs", {}).get("model_outputs", [])
        if all(each["model_id"] != model for each in known):
            await self._post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 0}])

    async def untag(self, run: str, key: str) -> None:
        """Delete a tag of a run, if it has it."""
        try:
            await self._post("runs/delete-tag", run_id=run, key=key)
        except RejectedError as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise

    async def upload(self, artifact_uri: str, path: str, content: bytes) -> bool:
        """Store a file among a run's artifacts; False if the server does not proxy them."""
        parts = urlsplit(artifact_uri)
        if parts.scheme != "mlflow-artifacts":
            return False
        target = quote(f"{parts.path.strip('/')}/{path}")
        path = f"/api/2.0/mlflow-artifacts/artifacts/{target}"
        # The answer has no body, where others have a JSON object.
        await self._call("PUT", path, content, kind="", empty=True)
        return True

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        return await self._call("GET", f"/api/2.0/mlflow/{path}?{urlencode(query)}")

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return await self._call("POST", f"/api/2.0/mlflow/{path}", _json(body))

    async def _call(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        kind: str = "application/json",
        empty: bool = False,
    ) -> dict[str, Any]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "toolkit-pipelines"}
        if content is not None and kind:
            headers["Content-Type"] = kind
        try:
            if token := self._token():
                headers["Authorization"] = f"Bearer {token}"
            async with self._http.get().request(
                method,
                URL(f"{self._url}{path}", encoded=True),
                data=None if content is None else body(content),
                headers=headers,
                allow_redirects=False,
            ) as response:
                status, answer = response.status, await response.read()
        except FAILURES as error:
            raise UnreachableError(f"MLflow at {self._url}: {why(error)}") from error
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if status < 300 and isinstance(found, dict):
            return found
        if status < 300 and empty:
            return {}
        code = str(found.get("error_code", "")) if isinstance(found, dict) else ""
        message = str(found.get("message", "")) if isinstance(found, dict) else ""
        message = message or f"{method} {path.partition('?')[0]}: HTTP {status}"
        if status in _RETRY or not code or status < 300:
            # An answer that is not MLflow's is a proxy's, or another server's in its place.
            raise UnreachableError(message)
        raise RejectedError(code, message)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def key(text: str) -> str:
    """Give text as the name of a parameter, metric or tag that MLflow takes."""
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "_-. /" else "_" for c in text)
    return kept[:MAX_KEY]


def _quoted(text: str) -> str:
    # The filter's grammar has no escapes; ids and paths of tasks have no quotes.
    return text.replace("'", "_")


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _batches(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
