import stat

from toolkit_cli import tokens


def test_only_the_owner_reads_a_token(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = tokens.write("toolkit", "metadata", "s3cret")
    assert file == tokens.path("toolkit", "metadata")
    assert file.read_text() == "s3cret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_new_token_takes_the_old_ones_place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    tokens.write("toolkit", "metadata", "a much longer one")
    file = tokens.write("toolkit", "metadata", "short")
    assert file.read_text() == "short"
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
