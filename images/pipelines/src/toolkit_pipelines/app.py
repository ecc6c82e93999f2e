"""The service put together: the store, the engine and the API, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from toolkit_identity import Guard, TokenFile, Verifier
from toolkit_jobs import Connection, Jobs, PodOptions, Resources, SecretKey, options

from . import api, outbox, steps
from .api.context import Context
from .engine import Engine, EngineOptions, Tracking, Transfer
from .environments import EnvironmentOptions, Environments
from .mlflow import MLflow
from .outbox import Outbox
from .paging import Pager
from .root import PipelineRoot
from .settings import Settings
from .store import Store, open_store

logger = logging.getLogger(__name__)

DATABASE = "pipelines.db"
LABEL = "toolkit.canonical.com/pipelines"
"""The label by which a service finds its pods; its value is the service's name."""

_LOCK_SECONDS = 15
_SECRET_KEY = "token"  # noqa: S105 - the name of a key, not its value


class InUseError(Exception):
    """Another process serves this state folder."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running service is made of."""

    store: Store
    engine: Engine
    outbox: Outbox | None
    app: ASGIApp


@contextlib.contextmanager
def locked(folder: Path, patience: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the state folder for this process alone.

    Args:
        folder: the state folder.
        patience: seconds to wait for a process that is just ending.

    Raises:
        InUseError: another process holds it.
        OSError: the folder cannot be written to.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise InUseError(
                        f"{folder} is in use by another process: two engines on one database "
                        "would be at each other's work"
                    ) from error
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def assemble(settings: Settings, store: Store, jobs: Jobs) -> Parts:
    """Put the engine and the API together over a store and the pods."""
    root = PipelineRoot(settings.pipeline_root)
    environments = Environments(
        jobs,
        EnvironmentOptions(
            folder=settings.environments,
            claim=settings.environments_claim,
            step_image=settings.step_image,
            owner=settings.name,
            env={"UV_DEFAULT_INDEX": settings.index_url} if settings.index_url else {},
        ),
    )
    tracking = None
    if settings.metadata_url:
        secret = settings.metadata_secret
        tracking = Tracking(
            settings.metadata_url, SecretKey(secret, _SECRET_KEY) if secret else None
        )
    transfer = None
    if settings.artifact_transfer != "volume":
        transfer = Transfer(
            settings.artifact_address.rstrip("/"),
            steps.StepTokens(store.database.key("step-tokens")),
            steps.Exchange(root),
        )
    engine = Engine(
        store.runs,
        jobs,
        root,
        environments,
        EngineOptions(
            step_image=settings.step_image,
            claim=settings.pipeline_root_claim,
            environments_claim=settings.environments_claim,
            parallelism=settings.parallelism,
            run_parallelism=settings.parallelism,
            tracking=tracking,
            reserved_labels=settings.reserved_labels,
            transfer=transfer,
        ),
    )
    context = Context(
        store=store,
        pager=Pager(store.database.key("page-tokens")),
        workloads=engine,
        root=root,
        namespace=settings.namespace,
        healthy=engine.healthy,
    )
    recorder = None
    if settings.metadata_url:
        mlflow = MLflow(settings.metadata_url, _metadata_token(settings.metadata_token_file))
        recorder = Outbox(store.runs, mlflow, engine.artifact, root.folder)
    app = guarded(api.application(context), settings)
    if transfer is not None:
        for_steps = steps.application(transfer.exchange, engine)
        app = _split(app, guarded(for_steps, settings, transfer.tokens))
    return Parts(store, engine, recorder, app)


def _split(app: ASGIApp, for_steps: ASGIApp) -> ASGIApp:
    """Send what steps ask to the routes for them, which know other tokens than the API."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        await (for_steps if path.startswith(f"{steps.PREFIX}/") else app)(scope, receive, send)

    return serve


def _metadata_token(path: Path | None) -> Callable[[], str]:
    # Read each time: the charm writes a new one when it changes.
    return (lambda: path.read_text(encoding="utf-8").strip()) if path is not None else str


def guarded(app: ASGIApp, settings: Settings, tokens: Verifier | None = None) -> ASGIApp:
    """Put the guard before an application: host, origin, token (the API's, if none are given)."""
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return Guard(
        app,
        tokens=tokens or TokenFile(settings.token_file),
        allowed_hosts=[own, *settings.allowed_hosts],
        open_paths=api.OPEN_PATHS if tokens is None else (),
        allowed_origins=settings.allowed_origins,
        realm="pipelines",
    )


def pod_options(settings: Settings, namespace: str = "") -> PodOptions:
    """Give what every pod of this service has; `namespace` is theirs, "" the service's own."""
    return options.read(
        settings.pods,
        PodOptions(
            namespace=namespace or settings.namespace,
            labels={LABEL: settings.name},
            secrets=settings.artifact_transfer != "volume",
            resources=Resources(
                cpu_request=settings.default_cpu,
                memory_request=settings.default_memory,
                memory_limit=settings.default_memory,
            ),
        ),
    )


class _Server(uvicorn.Server):
    """A server that leaves signals to `serve`, which stops the engine as well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


async def serve(settings: Settings, connection: Connection) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        DatabaseError: the database cannot be used.
        OSError: the address cannot be bound.
    """
    store = open_store(settings.state / DATABASE, outbox.record)
    try:
        elsewhere = connection.namespace if settings.kubeconfig is not None else ""
        async with Jobs(connection, pod_options(settings, elsewhere)) as jobs:
            parts = assemble(settings, store, jobs)
            await _serve(settings, parts)
    finally:
        store.close()


async def _serve(settings: Settings, parts: Parts) -> None:
    server = _Server(
        uvicorn.Config(
            parts.app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=settings.log_level == "debug",
            server_header=False,
            proxy_headers=False,
            # Longer than the pools of clients keep a connection, so that none is closed under a
            # request.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            ws="none",
            lifespan="off",
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    workers = [asyncio.create_task(parts.engine.run(), name="engine")]
    if parts.outbox is not None:
        workers.append(asyncio.create_task(parts.outbox.run(), name="outbox"))
    for worker in workers:
        # If one fails, the service ends and is started again, rather than accept runs that
        # nothing drives or records.
        worker.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
    try:
        await server.serve()
    except SystemExit as error:
        # uvicorn's way to say that the address cannot be had; its log has the reason.
        raise OSError(f"{settings.host}:{settings.port} cannot be served") from error
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in workers:
        if not worker.cancelled() and worker.exception() is not None:
            raise RuntimeError(f"the {worker.get_name()} failed") from worker.exception()
