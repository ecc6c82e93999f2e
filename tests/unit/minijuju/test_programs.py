"""Pebble and the hook commands are built together: a Go is fetched once for both."""

import pytest

from minijuju import golang, pebble, programs
from minijuju.hooks import tools

GO = """\
#!/bin/sh
for argument; do
    case $argument in -o=*) output=${{argument#-o=}} ;; esac
done
printf '#!/bin/sh\\necho v1.32.1\\n' >"$output"
chmod +x "$output"
"""
UV = """\
#!/bin/sh
echo run >>{log}
for argument; do
    case $argument in --target=*) target=${{argument#--target=}} ;; esac
done
/bin/mkdir -p "$target/go/bin"
/bin/cp {go} "$target/go/bin/go"
/bin/chmod +x "$target/go/bin/go"
"""


def test_both_are_built_with_one_go(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/chmod").symlink_to("/bin/chmod")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "go").write_text(GO.format())
    uv = tmp_path / "uv"
    uv.write_text(UV.format(log=tmp_path / "log", go=tmp_path / "go"))
    uv.chmod(0o755)
    monkeypatch.setattr(golang.uv, "find_uv_bin", lambda: str(uv))
    store = tmp_path / "store"
    said = []
    assert not programs.find(store)
    binary = programs.ensure(store, progress=said.append)
    assert binary == pebble.find(store)
    assert tools.find(store)
    assert (tmp_path / "log").read_text() == "run\n"
    assert len([line for line in said if line.startswith("building")]) == 2
    # Nothing is left of what was needed meanwhile, and nothing is done again.
    assert not list((store / "tools").glob(".*"))
    uv.unlink()
    assert programs.ensure(store) == binary


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no such host'; exit 2\n")
    uv.chmod(0o755)
    monkeypatch.setattr(golang.uv, "find_uv_bin", lambda: str(uv))
    with pytest.raises(pebble.PebbleError, match="no such host"):
        programs.ensure(tmp_path / "store")
