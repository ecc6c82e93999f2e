import base64
import json

import jwt
import pytest

from tinykube import kinds
from tinykube import tokens as issuing
from tinykube.options import Deletion


@pytest.fixture
def bot(create):
    return create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": "bot"}})


def test_the_administrator(tokens, admin):
    caller = tokens.authenticate(admin)
    assert "system:masters" in caller.groups
    assert tokens.authenticate(admin + "x") is None


def test_an_account_and_its_groups(tokens, bot):
    caller = tokens.authenticate(tokens.issue(bot, [], 3600).token)
    assert caller.name == "system:serviceaccount:default:bot"
    assert caller.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    )


def test_a_token_dies_with_its_account(tokens, bot, registry, create):
    token = tokens.issue(bot, [], 3600).token
    assert tokens.authenticate(token)
    registry.delete(kinds.SERVICE_ACCOUNTS, "default", "bot", Deletion())
    assert tokens.authenticate(token) is None
    # One of the same name is another account.
    create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": "bot"}})
    assert tokens.authenticate(token) is None


def test_a_bound_token_dies_with_its_pod(tokens, bot, registry, create, pod):
    bound = create(kinds.PODS, pod())
    token = tokens.issue(bot, [], 3600, bound).token
    assert tokens.authenticate(token)
    registry.delete(kinds.PODS, "default", "one", Deletion())
    assert tokens.authenticate(token) is None


def test_a_token_ends(tokens, bot, monkeypatch):
    issued = tokens.issue(bot, [], 600)
    assert tokens.authenticate(issued.token)
    late = issued.expires.timestamp() + 1
    monkeypatch.setattr(issuing.time, "time", lambda: late)
    assert tokens.authenticate(issued.token) is None


def test_a_year_is_the_longest(tokens, bot):
    claims = jwt.decode(tokens.issue(bot, [], 10**9).token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600


def test_a_token_for_someone_else_is_not_for_us(tokens, bot):
    assert tokens.authenticate(tokens.issue(bot, ["vault"], 3600).token) is None


def forged(token, **changes):
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims.update(changes)
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{body}.{signature}"


def test_forgeries(tokens, bot):
    good = tokens.issue(bot, [], 3600).token
    unsigned = jwt.encode({"sub": "x"}, None, algorithm="none")
    other = jwt.encode({"sub": "x", "iss": issuing.ISSUER}, "k" * 32, algorithm="HS256")
    for token in (
        "",
        "nothing",
        "a.b.c",
        good[:-4] + "AAAA",
        forged(good, sub="system:admin"),
        unsigned,
        other,
        "x" * 100_000,
        "\ud800",
        "\0",
    ):
        assert tokens.authenticate(token) is None


def test_only_so_many_are_remembered(tokens, bot, monkeypatch):
    monkeypatch.setattr(issuing, "_REMEMBERED", 3)
    issued = [tokens.issue(bot, [], 3600).token for _ in range(6)]
    assert all(tokens.authenticate(token) for token in issued)
    assert len(tokens._verified) == 3
    assert tokens.authenticate(issued[0])
