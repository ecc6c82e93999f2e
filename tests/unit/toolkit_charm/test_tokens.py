"""The token that a charm makes is one that every image accepts."""

import os

import ops
from ops import testing

from toolkit_charm import tokens
from toolkit_identity import TokenFile


class Charm(ops.CharmBase):
    """Makes or reads its token on every event, and keeps what it would push."""

    contents: list[str] = []  # noqa: RUF012 - read by the test after the charm is gone

    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on.update_status, self._on_update_status)

    def _on_update_status(self, _):
        token = tokens.load(self)
        assert token.secret_id.startswith("secret:")
        self.contents.append(token.file_content())


def test_a_token_is_made_once_and_accepted_by_the_guards_file(tmp_path):
    Charm.contents.clear()
    context = testing.Context(Charm, meta={"name": "one"})
    after = context.run(context.on.update_status(), testing.State(leader=True))
    again = context.run(context.on.update_status(), after)
    assert len(list(again.secrets)) == 1
    first, second = Charm.contents
    assert first == second
    path = tmp_path / "tokens"
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(first)
    (secret,) = after.secrets
    assert TokenFile(path).verify(secret.tracked_content["token"]) == "main"
