import io
from pathlib import Path

import pytest

from toolkit_cli import shutdown
from toolkit_cli.progress import PlainReporter
from toolkit_cli.source import Source


@pytest.fixture
def source(tmp_path, monkeypatch):
    for name, folder in (
        ("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "cache"), ("SANDBOX_STORE", "store"),
        ("MINIJUJU_DATA", "juju"), ("TINYKUBE_DATA", "kube"),
    ):  # fmt: skip
        monkeypatch.setenv(name, str(tmp_path / folder))
    charm = tmp_path / "checkout" / "charms" / "tiny"
    charm.mkdir(parents=True)
    (charm / "charmcraft.yaml").write_text("name: tiny")
    (charm / "tiny.charm").write_text("packed")
    return Source(tmp_path / "checkout")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_purge_leaves_no_file_of_ours(source, tmp_path):
    for place in ("juju", "kube", "store", "data/charmed-ml-toolkit", "cache/charmed-ml-toolkit"):
        (tmp_path / place / "deep").mkdir(parents=True)
        (tmp_path / place / "deep" / "file").write_text("x")
    read_only = tmp_path / "store" / "deep" / "module"
    read_only.mkdir()
    (read_only / "source.go").write_text("x")
    read_only.chmod(0o500)
    shutdown.purge(PlainReporter(io.StringIO()), source)
    assert files(tmp_path) == {"checkout/charms/tiny/charmcraft.yaml"}


def test_purge_leaves_what_is_not_ours(source, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter").write_text("x")
    (tmp_path / "juju").mkdir()
    (tmp_path / "juju" / "link").symlink_to(tmp_path / "data")
    shutdown.purge(PlainReporter(io.StringIO()), source)
    assert "data/letter" in files(tmp_path)


def test_down_of_what_never_ran_is_fine(source):
    told = io.StringIO()
    shutdown.down(PlainReporter(told))
    assert told.getvalue().count("was not running") == 2
