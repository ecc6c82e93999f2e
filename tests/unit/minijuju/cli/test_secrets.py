"""What `add-secret` and its kin ask of the controller."""

import base64

import pytest


@pytest.fixture(autouse=True)
def model(monkeypatch, data):
    monkeypatch.setenv("JUJU_MODEL", "m")


def test_add_secret(run, fake, tmp_path):
    fake.answers["add_secret"] = "secret:abc"
    (tmp_path / "kube").write_text("file\n")
    (tmp_path / "more.yaml").write_text("port: 0700\n")
    coded = base64.b64encode(b"coded").decode()
    result = run(
        "add-secret", "n", "plain=a=b", f"key#file={tmp_path}/kube", f"other#base64={coded}",
        "--file", str(tmp_path / "more.yaml"), "--info", "why",
    )  # fmt: skip
    assert (result.code, result.out) == (0, "secret:abc\n")
    content = {"plain": "a=b", "key": "file\n", "other": "coded", "port": "0700"}
    assert fake.params("add_secret") == {
        "model": "m",
        "name": "n",
        "content": content,
        "info": "why",
    }


@pytest.mark.parametrize(
    "item", ["hidden", "=hidden", "key#file=/no/hidden", "key#base64=hidden", "key#rot13=hidden"]
)
def test_content_that_cannot_be_read(run, fake, item):
    result = run("add-secret", "n", item)
    assert result.code == 1
    assert fake.calls == []


def test_update_secret(run, fake):
    fake.answers["update_secret"] = None
    assert run("update-secret", "n", "abc=x", "--name", "o").code == 0
    params = {"model": "m", "secret": "n", "content": {"abc": "x"}, "name": "o", "info": None}
    params["auto_prune"] = None
    assert fake.params("update_secret") == params
    assert run("update-secret", "n", "--info", "i").code == 0
    assert fake.params("update_secret")["content"] is None
    for flag, wanted in (("--auto-prune", True), ("--auto-prune=false", False)):
        assert run("update-secret", "n", flag, "abc=y").code == 0
        assert fake.params("update_secret")["auto_prune"] is wanted


def test_bytes_that_are_no_text(run, fake, tmp_path):
    fake.answers["add_secret"] = "secret:x"
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    assert run("add-secret", "n", f"key#file={tmp_path / 'key'}", "abc#base64=eA==").code == 0
    assert fake.params("add_secret")["content"] == {"key#base64": "//4=", "abc": "x"}


@pytest.mark.parametrize("verb", ["grant-secret", "revoke-secret"])
def test_access(run, fake, verb):
    method = verb.replace("-", "_")
    fake.answers[method] = None
    assert run(verb, "n", "a,b", "c").code == 0
    assert fake.params(method) == {"model": "m", "secret": "n", "applications": ["a", "b", "c"]}
    assert run(verb, "n").code != 0


def test_remove_secret(run, fake):
    fake.answers["remove_secret"] = None
    assert run("remove-secret", "n", "--revision", "2").code == 0
    assert fake.params("remove_secret") == {"model": "m", "secret": "n", "revision": 2}
