"""The service put together: the store, the engine, the schedules and the API, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import gc
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from toolkit_database import Login
from toolkit_identity import Guard, TokenFile, Verifier
from toolkit_jobs import Connection, Jobs, PodOptions, Resources, SecretKey, options
from toolkit_jobs.quantities import amount
from toolkit_objects import PART, Location, ObjectStore

from . import api, outbox, steps, webhook
from .adoption import Adoption
from .api.context import Context
from .contents import Contents
from .delivery import Delayed
from .documents import Documents
from .engine import Engine
from .environments import EnvironmentOptions, Environments
from .events import Event
from .firings import Firings
from .imagemap import ImageMap
from .logs import StoreLogs
from .mlflow import MLflow
from .options import CacheOptions, EngineOptions, Tracking, Transfer
from .outbox import Outbox
from .paging import Pager
from .pods import end_all
from .restoration import Restoration
from .retention import Retention, RetentionOptions
from .root import DEFAULT_URI, PipelineRoot
from .settings import Settings
from .standby import StandBy
from .store import Store, moving, over
from .store.database import Database, DatabaseError
from .store.documents import StoredDocuments
from .store.interface import OutboxRecord, Recorder
from .store.moving import NotSharedError
from .store.postgresql import MAX_NAME, Leadership, OtherServiceError, hold
from .watchers import Watchers
from .webhook import Webhook

logger = logging.getLogger(__name__)

DATABASE = moving.FILE
PROBLEM = "problem"
"""In the state folder: why the service could not start, for who cannot read its log."""
LABEL = "toolkit.canonical.com/pipelines"
"""The label by which a service finds its pods; its value is the service's name."""

_LOCK_SECONDS = 15
_STAND_BY_SECONDS: Final = 1.0
"""How often a stand-by looks whether it may lead."""
_HOLD_SECONDS: Final = 5.0
"""How often the one that leads says that it does."""
_SECRET_KEY = "token"  # noqa: S105 - the name of a key, not its value


class InUseError(Exception):
    """Another process serves this state folder."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running service is made of."""

    store: Store
    engine: Engine
    firings: Firings
    outbox: Outbox | None
    webhook: Webhook | None
    retention: Retention | None
    adoption: Adoption | None
    watchers: Watchers
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


def uv(settings: Settings) -> dict[str, str]:
    """Give the variables of uv where it installs what steps ask for."""
    index = {"UV_DEFAULT_INDEX": settings.index_url} if settings.index_url else {}
    return {**index, **({"UV_OFFLINE": "1"} if settings.offline else {})}


def assemble(
    settings: Settings, store: Store, jobs: Jobs, objects: ObjectStore | None = None
) -> Parts:
    """Put the engine and the API together over a store, the pods and maybe an object store."""
    shared = shares(settings)
    root = root_of(settings, StoredDocuments(store.database) if shared else None)
    contents = Contents(root, objects)
    environments = Environments(
        jobs,
        EnvironmentOptions(
            folder=settings.environments,
            claim=settings.environments_claim,
            step_image=settings.step_image,
            owner=settings.name,
            env=uv(settings),
            limit=int(amount(settings.environments_limit)) if settings.environments_limit else 0,
            # Offline, what was downloaded cannot be downloaded again.
            keep_cache=settings.offline,
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
            steps.Exchange(root, objects),
            PART if objects else 0,
            objects.certificates if objects else "",
        )
    images = ImageMap.read(settings.image_map)
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
            images=images,
            cache=CacheOptions(settings.cache_ttl) if settings.caching else None,
            gpu_resource=pod_options(settings).gpus.resource,
        ),
        contents=contents,
        logs=StoreLogs(root, objects) if shared and objects is not None else None,
    )
    recorder = None
    if settings.metadata_url:
        mlflow = MLflow(settings.metadata_url, _metadata_token(settings.metadata_token_file))
        recorder = Outbox(store.runs, mlflow, contents)
    watchers = Watchers(store.runs.subscribe)
    context = Context(
        store=store,
        pager=Pager(store.database.key("page-tokens")),
        workloads=engine,
        watchers=watchers,
        root=root,
        contents=contents,
        objects=objects,
        images=images,
        namespace=settings.namespace,
        healthy=engine.healthy,
        delayed=recorder.delayed if recorder is not None else Delayed,
        recorded=bool(settings.metadata_url),
    )
    hook = None
    if settings.failure_webhook_file is not None:
        to = webhook.endpoint(settings.failure_webhook_file, settings.failure_webhook_key_file)
        hook = Webhook(store.runs, to, settings.url)
    retention = None
    if settings.run_retention or settings.run_retention_count:
        kept = RetentionOptions(
            settings.run_retention, settings.run_retention_count, bool(settings.metadata_url)
        )
        retention = Retention(store.runs, engine.forgetter, kept)
    app = guarded(api.application(context), settings)
    if transfer is not None:
        for_steps = steps.application(transfer.exchange, engine)
        app = _split(app, guarded(for_steps, settings, transfer.tokens))
    adoption = None
    if shared and objects is not None:
        adoption = Adoption(store.database, root, objects)
    return Parts(store, engine, Firings(store), recorder, hook, retention, adoption, watchers, app)


def shares(settings: Settings) -> bool:
    """Tell whether all that the service needs is where another one finds it."""
    return settings.database_file is not None and bool(settings.artifact_store)


def root_of(settings: Settings, documents: Documents | None = None) -> PipelineRoot:
    """Give the pipeline root that the settings say; documents are on its volume if not given."""
    uri = DEFAULT_URI
    if settings.artifact_store:
        uri = Location.parse(settings.artifact_store).uri
    if documents is None:
        return PipelineRoot(settings.pipeline_root, uri)
    return PipelineRoot(settings.pipeline_root, uri, documents)


def records(settings: Settings) -> Recorder:
    """Give what says whom events are told to: MLflow, and the webhook if there is one.

    What there is for MLflow waits for one to be set, so that it knows all runs; who is told of
    failures is told of those alone that come while it is set.
    """

    def record(appended: Sequence[Event]) -> list[OutboxRecord]:
        told = outbox.record(appended)
        if settings.failure_webhook_file is not None:
            told += webhook.record(appended)
        return told

    return record


def object_store(settings: Settings) -> ObjectStore | None:
    """Give the object store that artifacts are kept in, or None.

    Raises:
        CredentialsError: its credentials cannot be used.
        OSError: the authorities to trust there cannot be read.
    """
    path = settings.artifact_store_credentials
    if not settings.artifact_store or path is None:
        return None
    return ObjectStore.open(settings.artifact_store, path, settings.artifact_store_certificates)


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
    return Guard(
        app,
        tokens=tokens or TokenFile(settings.token_file),
        open_paths=api.OPEN_PATHS if tokens is None else (),
        **_callers(settings),
    )


def _callers(settings: Settings) -> dict[str, Any]:
    """Give what a guard has to know beside tokens."""
    return {
        "allowed_hosts": [_own(settings), *settings.allowed_hosts],
        "allowed_origins": settings.allowed_origins,
        "realm": "pipelines",
    }


def _own(settings: Settings) -> str:
    return f"[{settings.host}]" if ":" in settings.host else settings.host


def address(settings: Settings) -> str:
    """Give where others of its kind reach this service, "" if the settings do not tell."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(settings.host).is_unspecified:
            return ""
    found = f"http://{_own(settings)}:{settings.port}"
    return found if settings.port and found.isascii() and len(found) <= MAX_NAME else ""


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
    """A server that leaves signals to `serve`, which stops the engine as well.

    Args:
        settings: where it serves.
        app: what, at first.

    Attributes:
        app: what it serves.
        watchers: the clients whose requests end no sooner than they are told to, if there are any.
        answering: set once it answers.
    """

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        self.app = app
        self.watchers: Watchers | None = None
        self.answering = asyncio.Event()

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)

        super().__init__(
            uvicorn.Config(
                front,
                host=settings.host,
                port=settings.port,
                interface="asgi3",
                log_config=None,
                access_log=settings.log_level == "debug",
                server_header=False,
                proxy_headers=False,
                # Longer than the pools of clients keep a connection, so that none is closed under
                # a request.
                timeout_keep_alive=75,
                timeout_graceful_shutdown=5,
                ws="none",
                lifespan="off",
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True
        if self.watchers is not None:
            self.watchers.close()


async def serve(settings: Settings, connection: Connection) -> None:
    """Serve until SIGTERM or SIGINT: as a stand-by while another service has the database.

    Raises:
        OtherServiceError: this service led, and another one does now.
        DatabaseError: the database cannot be used.
        LoginError: the file that says where PostgreSQL is cannot be used.
        OSError: the address cannot be bound.
    """
    login = Login.read(settings.database_file) if settings.database_file is not None else None
    standby = StandBy()
    server = _Server(settings, standby.guarded(**_callers(settings)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    leading = asyncio.create_task(_lead(settings, connection, login, server, standby))
    # If it fails, the service ends and is started again, rather than accept runs that nothing
    # drives, fires or records.
    leading.add_done_callback(lambda _: server.handle_exit(signal.SIGTERM, None))
    try:
        await server.serve()
    except SystemExit as error:
        # uvicorn's way to say that the address cannot be had; its log has the reason.
        raise OSError(f"{settings.host}:{settings.port} cannot be served") from error
    finally:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        await standby.close()
    if not leading.cancelled() and (failure := leading.exception()) is not None:
        raise failure


async def _lead(
    settings: Settings,
    connection: Connection,
    login: Login | None,
    server: _Server,
    standby: StandBy,
) -> None:
    """Wait for the database, then work on it, until cancelled."""
    await server.answering.wait()
    store = over(await _take(settings, login, standby), records(settings))
    try:
        (settings.state / PROBLEM).unlink(missing_ok=True)
        objects = object_store(settings)
        if shares(settings) and objects is not None:
            await asyncio.to_thread(Adoption(store.database, root_of(settings), objects).documents)
        elif login is not None:
            # From now on there may be something on this volume again.
            await asyncio.to_thread(store.database.drop_key, moving.SHARED)
        elsewhere = connection.namespace if settings.kubeconfig is not None else ""
        async with Jobs(connection, pod_options(settings, elsewhere)) as jobs:
            parts = assemble(settings, store, jobs, objects)
            # Whatever a request makes, the collector need not look at what was loaded for it.
            gc.collect()
            gc.freeze()
            server.app, server.watchers = parts.app, parts.watchers
            # What it forwarded is asked again, here.
            await standby.close()
            restoration = Restoration(settings.state / DATABASE, root_of(settings))
            restored = restoration.phase() is not None
            engine = _resume(restoration, parts.engine, jobs) if restored else parts.engine.run()
            await _work(parts, engine, login is not None)
    finally:
        store.close()


async def _take(settings: Settings, login: Login | None, standby: StandBy) -> Database:
    """Give the database, once no other service has it.

    Raises:
        DatabaseError: it cannot be used.
        LoginError: the login cannot be used.
    """
    opened = functools.partial(
        moving.open_database,
        settings.state,
        login,
        name=address(settings),
        begins=settings.begins,
        patience=0,
    )
    if login is None:
        return await asyncio.to_thread(opened)
    leadership = Leadership(login)
    try:
        waited = False
        while True:
            try:
                name = await asyncio.to_thread(leadership.name)
                if name is None:
                    return await asyncio.to_thread(opened)
                standby.tell(name, "stand-by: another service leads")
            except OtherServiceError:
                # It was faster; who it is will be seen.
                pass
            except NotSharedError as error:
                standby.tell("", f"stand-by: {error}")
            except DatabaseError as error:
                if not waited:
                    raise
                # Without the database nobody leads, and a stand-by is as ready as it can be.
                standby.tell("", f"stand-by: {error}")
            if not waited:
                (settings.state / PROBLEM).unlink(missing_ok=True)
            waited = True
            await asyncio.sleep(_STAND_BY_SECONDS)
    finally:
        leadership.close()


async def _resume(restoration: Restoration, engine: Engine, jobs: Jobs) -> None:
    """Run the engine on what a backup held, without the pods of before.

    What was replaced is deleted once the service is up.
    """
    await end_all(jobs)
    logger.info("the service begins with what a backup held; all pods of before are gone")

    async def settle() -> None:
        await engine.at_work.wait()
        await asyncio.to_thread(restoration.settle)
        logger.info("the service is up on what a backup held; what that replaced is deleted")

    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run(), name="restored-engine")
        group.create_task(settle(), name="settling")


async def _hold(database: Database) -> None:
    """Keep the lead; OtherServiceError once another service has it."""
    while True:
        try:
            await asyncio.to_thread(hold, database)
        except OtherServiceError:
            raise
        except DatabaseError as error:
            # Nobody can take the lead either; /healthz tells.
            logger.warning("the lead cannot be held: %s", error)
        await asyncio.sleep(_HOLD_SECONDS)


async def _work(parts: Parts, engine: Coroutine[None, None, None], held: bool) -> None:
    """Run all that works beside the API, until cancelled or one of it ends."""
    workers = {"engine": engine, "firings": parts.firings.run()}
    if held:
        workers["lead"] = _hold(parts.store.database)
    for name, part in (
        ("outbox", parts.outbox),
        ("webhook", parts.webhook),
        ("retention", parts.retention),
        ("adoption", parts.adoption),
    ):
        if part is not None:
            workers[name] = part.run()
    tasks = [asyncio.create_task(worker, name=name) for name, worker in workers.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        error = task.exception()
        if isinstance(error, OtherServiceError):
            raise error
        raise RuntimeError(f"the {task.get_name()} ended") from error
