"""What functional tests share: tools that are built once, and one deployment of the bundle."""

import gc
import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from minijuju import models, programs
from sandbox.images import store_root

from .deployment import Bundle
from .objectstore import StoreServer

# Whose tests share one deployment (`bundle`), or servers: a folder's are all of one worker, for
# each further worker would have to start them too.
TOGETHER = ("bundle", "metadata", "toolkit")

# The files that take long, the longest first, and those that a folder in `TOGETHER` begins with:
# begun last, such a file would run alone at the end, while the other workers have nothing to do.
LONG = (
    "bundle/test_postgresql.py",
    "metadata/test_kept.py",
    "toolkit/test_example.py",
    "toolkit/test_deployment.py",
    "minijuju/test_jubilant.py",
    "pipelines/test_stand_by.py",
    "minijuju/test_crash.py",
    "minijuju/test_chaos.py",
    "minijuju/test_units.py",
    "minijuju/test_stopped.py",
    "pipelines/test_storm.py",
    "minijuju/test_clock.py",
    "minijuju/test_models.py",
    "tinykube/test_daemon.py",
    "pipelines/test_stored_pipelines.py",
    "pipelines/test_stored_steps.py",
    "tinykube/test_nodes.py",
    "minijuju/test_warm.py",
)


def pytest_addoption(parser):
    """Hooks start warm by default; all that charms do is to be the same when they do not."""
    parser.addoption("--hooks", choices=("warm", "cold"), default="warm", help="how hooks start")
    parser.addoption("--storm", type=int, default=12, help="faults in pipelines/test_storm.py")
    parser.addoption("--storm-seed", type=int, default=1, help="their seed")


def pytest_configure(config):
    """Tell the controllers that the tests start; a test of warm starts says what it wants."""
    os.environ[models.WARM_START] = "true" if config.getoption("--hooks") == "warm" else "false"
    # A test with a home of its own would build every image and tool again.
    os.environ.setdefault("SANDBOX_STORE", str(store_root()))
    os.environ.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))


def pytest_collection_modifyitems(items):
    """Long files first; `--no-loadscope-reorder` keeps xdist from undoing that."""
    here = Path(__file__).parent
    rank = {here / name: place for place, name in enumerate(LONG)}
    if gone := [str(path) for path in rank if not path.is_file()]:
        raise pytest.UsageError(f"LONG in {__file__} names what is not there: {', '.join(gone)}")
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish():
    """What was imported and collected stays: let no collection of garbage look through it."""
    gc.collect()
    gc.freeze()


class Scheduling(LoadFileScheduling):
    """Gives each worker whole files, and the folders in `TOGETHER` whole."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        folder = file.rpartition("/")[0]
        return folder if folder.rpartition("/")[2] in TOGETHER else file


def pytest_xdist_make_scheduler(config, log):
    """In place of `--dist loadfile`."""
    if config.getoption("dist") == "loadfile":
        return Scheduling(config, log)
    return None


@pytest.fixture(scope="session", autouse=True)
def pebble_binary():
    """A real Pebble, and all else that charms need and has to be built, before any test.

    So that none waits for a build while it waits for a unit.
    """
    return programs.ensure()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """A server that speaks S3; each test makes a bucket of its own."""
    made = StoreServer(tmp_path_factory.mktemp("s3"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """The bundle, deployed once for all tests on data folders of its own; down at the end.

    A test that stops or harms a part of it brings it back to active.
    """
    made = Bundle(tmp_path_factory.mktemp("t"))
    made.prepare()
    try:
        made.toolkit("up", "--json")
        yield made
    finally:
        made.toolkit("down", check=False)
