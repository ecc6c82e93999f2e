"""How the hook commands are made; the program itself is tested where it can be built."""

import os

import pytest

from minijuju import golang
from minijuju.hooks import tools

GO = """\
#!/bin/sh
case $1 in
env) echo go1.26.8; exit ;;
esac
echo run >>{log}
for argument; do
    case $argument in -o=*) output=${{argument#-o=}} ;; esac
done
{then}
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """A Go that says what it is told to; what tells how often it built."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def add(then):
        path = tmp_path / "bin/go"
        path.write_text(GO.format(log=tmp_path / "log", then=then))
        path.chmod(0o755)
        return lambda: len((tmp_path / "log").read_text().split())

    return add


def test_made_once_with_all_names(go, tmp_path):
    builds = go('printf "#!/bin/sh\\necho \\$0\\n" >"$output"')
    assert tools.find(tmp_path / "store") is None
    folder = tools.ensure(tmp_path / "store")
    assert tools.ensure(tmp_path / "store") == tools.find(tmp_path / "store") == folder
    assert builds() == 1
    assert {path.name for path in folder.iterdir()} == {*tools.NAMES, "hook-command"}
    assert {(folder / name).resolve() for name in tools.NAMES} == {folder / "hook-command"}
    assert not list(folder.parent.glob(".hook-commands-*"))


def test_a_failed_build_leaves_nothing(go, tmp_path):
    go("echo broken >&2; exit 1")
    with pytest.raises(golang.GoError, match="broken"):
        tools.ensure(tmp_path / "store")
    assert tools.find(tmp_path / "store") is None
    assert [path.name for path in (tmp_path / "store/tools").iterdir()] == ["hook-commands.lock"]
