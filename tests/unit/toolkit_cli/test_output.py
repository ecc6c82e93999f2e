import json
import subprocess

from toolkit_cli import output
from toolkit_cli.doctor import Finding


def test_a_shell_takes_the_exports(tmp_path, capsys):
    token = tmp_path / "it's a token"
    token.write_text("s3cret")
    output.show_exports(
        {"URI": "http://x/?a=1&b=$HOME", "TOKEN": f"@{token}", "PATH": "/some where"},
        as_json=False,
    )
    script = capsys.readouterr().out + 'printf "%s|%s|%s" "$URI" "$TOKEN" "$PATH"'
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == "http://x/?a=1&b=$HOME|s3cret|/some where:/usr/bin:/bin"


def test_exports_never_hold_a_secret_itself(tmp_path, capsys):
    token = tmp_path / "token"
    token.write_text("s3cret")
    output.show_exports({"TOKEN": f"@{token}"}, as_json=False)
    assert "s3cret" not in capsys.readouterr().out


def test_findings_show_their_remedy(capsys):
    findings = [
        Finding("Python", "3.11.2"),
        Finding("disk", "0.1 GiB free", "free 4 GiB more", fatal=True),
    ]
    output.show_findings(findings, as_json=False)
    shown = capsys.readouterr().out
    assert "✓ Python: 3.11.2" in shown
    assert "✗ disk: 0.1 GiB free\n    free 4 GiB more" in shown
    output.show_findings(findings, as_json=True)
    assert [f["fatal"] for f in json.loads(capsys.readouterr().out)] == [False, True]
