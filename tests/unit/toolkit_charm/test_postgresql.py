"""The names of databases: one for each application of each model, no longer than they may be."""

from __future__ import annotations

import ops
import pytest
from ops import testing

from toolkit_charm.interfaces.postgresql import PostgresqlRequirer


class Charm(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        self.requirer = PostgresqlRequirer(self, "database")
        framework.observe(self.on.start, self._ask)

    def _ask(self, _):
        self.requirer.request()


META = {"name": "c", "requires": {"database": {"interface": "postgresql_client", "limit": 1}}}


def asked(model, app, **relation):
    context = testing.Context(Charm, meta=META, app_name=app)
    made = testing.Relation("database", **relation)
    state = testing.State(leader=True, relations=[made], model=testing.Model(model))
    found = context.run(context.on.start(), state)
    return found.get_relation(made.id).local_app_data["database"]


@pytest.mark.parametrize("model", ["ml", "a-model-with-a-name-that-is-very-long-indeed"])
def test_the_name(model):
    names = {asked(model, app) for app in ("pipelines", "pipelines-b", "pipelines-c")}
    assert len(names) == 3
    assert all(len(name) <= 49 and name.replace("_", "").isalnum() for name in names)
    assert asked(model, "pipelines") in names


def test_what_was_asked_for_stays():
    assert asked("ml", "pipelines", local_app_data={"database": "earlier"}) == "earlier"
