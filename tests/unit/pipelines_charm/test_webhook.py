"""Who is told of runs that failed."""

from __future__ import annotations

import base64
import dataclasses

import ops
import pytest
from ops import testing

from toolkit_pipelines import settings as workload_settings
from toolkit_pipelines import webhook

URL = "https://user:sesame@hooks.example.com/secret-path"
KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"


def told(state, url=URL, **content):
    secret = testing.Secret(content, owner=None) if content else None
    config = {**state.config, "failure-webhook": url}
    if secret is not None:
        config["failure-webhook-key"] = secret.id
        state = dataclasses.replace(state, secrets=[*state.secrets, secret])
    return dataclasses.replace(state, config=config)


def test_nobody_is_told_by_default(running, settings, etc):
    assert "failure_webhook_file" not in settings()
    assert not (etc / "failure-webhook").exists()


def test_the_workload_takes_what_the_charm_writes(context, running, settings, etc):
    after = context.run(context.on.config_changed(), told(running, key=KEY))
    assert after.unit_status == ops.ActiveStatus()
    workload_settings.from_data(settings())
    for name in ("failure-webhook", "failure-webhook-key"):
        assert (etc / name).stat().st_mode & 0o777 == 0o600
    found = webhook.endpoint(etc / "failure-webhook", etc / "failure-webhook-key")
    assert found == webhook.Endpoint(URL, b"k" * 32)
    # It is in these files alone.
    assert "sesame" not in (etc / "settings.yaml").read_text()
    assert "sesame" not in str(after.get_container("pipelines").plan.to_dict())


@pytest.mark.parametrize(
    "url",
    [
        "sesame",
        "ftp://hooks.example.com/sesame",
        "https://",
        "http://[::1/sesame",
        "https://h:0/sesame",
        "https://h:99999/sesame",
        "https://h/ses ame",
        "https://h/sesamé",
        "https://h/sesame" + "x" * 2000,
    ],
)
def test_a_wrong_address_is_not_shown(context, running, settings, url):
    before = settings()
    after = context.run(context.on.config_changed(), told(running, url))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "config failure-webhook: write an http" in after.unit_status.message
    assert "sesam" not in after.unit_status.message
    assert not any("sesam" in line.message for line in context.juju_log)
    assert settings() == before


@pytest.mark.parametrize(
    ("url", "content"),
    [
        (URL, {"other": "x"}),
        (URL, {"key": "sesame"}),
        (URL, {"key": "whsec_c2hvcnQ="}),
        (URL, {"key": KEY.removeprefix("whsec_")}),
        ("", {"key": KEY}),
    ],
)
def test_a_wrong_key_is_not_shown(context, running, url, content):
    after = context.run(context.on.config_changed(), told(running, url, **content))
    assert isinstance(after.unit_status, ops.BlockedStatus)
    assert "failure-webhook-key" in after.unit_status.message
    assert "sesame" not in after.unit_status.message
