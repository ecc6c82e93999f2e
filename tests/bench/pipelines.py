"""The pipelines service on a tinykube of its own, and the smallest pipeline, for benches."""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.functional.pipelines.stack import ROOT, Cluster, Service

from sandbox.images import ImageStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kfp import dsl


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def nothing(x: int) -> int:
    return x


@dsl.pipeline(name="one-step")
def one(x: int = 1):
    nothing(x=x)


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A folder where kfp keeps its context file; built images stay where they are."""
    warnings.simplefilter("ignore")
    store = ImageStore()
    with tempfile.TemporaryDirectory() as name:
        os.environ.update(SANDBOX_STORE=str(store.root), HOME=name)
        yield Path(name)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what KFP's client and its local runner print to themselves, unless something fails."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    except BaseException:
        print(said.getvalue())
        raise


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Service]:
    """The service, running; its files are in the folder."""
    image = ImageStore().build(ROOT / "images" / "step").reference
    cluster = Cluster(folder / "tinykube", image)
    cluster.start()
    try:
        cluster.prepare({each: folder / each for each in ("pipeline-root", "environments")})
        service = Service(folder, cluster, image)
        service.start()
        try:
            yield service
        finally:
            service.stop()
    finally:
        cluster.stop()
