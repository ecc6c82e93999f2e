"""Which dispatch may start warm: charmcraft's, however it is worded, and no other."""

import subprocess

import pytest

from minijuju import archive, dispatch
from toolkit_cli import pack

CHARMCRAFT = """\
#!/bin/sh
# What charmcraft 4 writes does these things.
root="$(dirname $(realpath $0))"
bin="${root}/venv/bin"
python="${bin}/python"
if [ ! -e "${python}" ]; then
    mkdir -p "${bin}"
    ln -s $(which python3) "${python}"
fi

export PYTHONPATH="${root}/lib:${root}/src"
export LD_LIBRARY_PATH="${root}/usr/lib:${root}/lib:${root}/usr/lib/$(uname -m)-linux-gnu"

exec "${python}" "${root}/src/charm.py"
"""
KNOWN = {"charmcraft": CHARMCRAFT, "packed": pack.DISPATCH, "source": archive._DISPATCH}


@pytest.mark.parametrize("text", KNOWN.values(), ids=KNOWN)
def test_a_program_runs_as_the_charm_would(tmp_path, text):
    (tmp_path / "lib").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "venv/bin").mkdir(parents=True)
    python = tmp_path / "venv/bin/python"
    python.write_text('#!/bin/sh\necho "$0" "$@"; echo $PYTHONPATH; echo $LD_LIBRARY_PATH\n')
    python.chmod(0o755)
    path = tmp_path / "dispatch"
    path.write_text(text)
    path.chmod(0o755)
    charm = subprocess.run([path], capture_output=True, text=True, check=True).stdout.split()
    lines = dispatch.launcher(text, "/program 'first word'")
    command = ["/bin/sh", "-c", lines, str(path)]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert charm[:3] == [str(python), f"{tmp_path}/src/charm.py", f"{tmp_path}/lib:{tmp_path}/src"]
    assert other == [charm[0], "/program", "first", "word", *charm[1:]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("#!/bin/sh", "#!/bin/bash"),
        ("#!/bin/sh\n", ""),
        ("exec ", ""),
        ("exec ", "echo hello\nexec "),
        ("exec ", "juju-log $(date)\nexec "),
        ("exec ", "export NOW=$(date)\nexec "),
        ("exec ", "export HOOK=`env`\nexec "),
        ("exec ", "A=1 exec "),
        ("src/charm.py", "src/charm.sh"),
        ('src/charm.py"', 'src/charm.py" --flag'),
        ('src/charm.py"', 'src/charm.py" "$@"'),
        ('src/charm.py"\n', 'src/charm.py"; echo done\n'),
        ('src/charm.py"\n', 'src/charm.py"\necho done\n'),
        ("exec ", ". /etc/profile\nexec "),
        ("exec ", "cd /tmp\nexec "),
        ("exec ", "umask 077\nexec "),
        ("exec ", "exec 2>/dev/null\nexec "),
    ],
)
@pytest.mark.parametrize("text", KNOWN.values(), ids=KNOWN)
def test_whatever_does_more_does_not(text, old, new):
    assert old in text
    assert dispatch.launcher(text.replace(old, new), "/program") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/sh\n",
        "#!/bin/sh\nPYTHONPATH=lib:venv exec ./src/charm.py\n",
        "#!/usr/bin/env python3\nprint(1)\n",
        "\x7fELF\x02\x01",
    ],
)
def test_others_do_not(text):
    assert dispatch.launcher(text, "/program") is None
