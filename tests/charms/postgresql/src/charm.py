#!/usr/bin/env python3
"""A charm for tests: a real PostgreSQL, offered by the data platform's own library."""

import secrets

import ops
from dpcharmlibs.interfaces import (
    RequirerCommonModel,
    ResourceProviderEventHandler,
    ResourceProviderModel,
    ResourceRequestedEvent,
)

RELATION = "database"
PORT = 5432
COMMAND = "/opt/postgresql/bin/python -m test_postgresql"


class PostgresqlCharm(ops.CharmBase):
    """One server; each relation has a user of its own, and what it asks for by name."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.container = self.unit.get_container("postgresql")
        self.offered = ResourceProviderEventHandler(self, RELATION, RequirerCommonModel)
        framework.observe(self.on.postgresql_pebble_ready, self._start)
        framework.observe(self.offered.on.resource_requested, self._give)
        framework.observe(self.on[RELATION].relation_broken, self._take)
        framework.observe(self.on.collect_unit_status, self._status)

    def _start(self, _: ops.EventBase) -> None:
        network = self.model.get_binding(RELATION).network
        service: ops.pebble.ServiceDict = {
            "override": "replace",
            "startup": "enabled",
            "command": f"{COMMAND} serve {network.bind_address}",
        }
        self.container.add_layer("postgresql", {"services": {"postgresql": service}}, combine=True)
        self.container.replan()
        self.unit.set_ports(PORT)

    def _give(self, event: ResourceRequestedEvent) -> None:
        name, user = event.request.resource, self._user(event.relation)
        try:
            known = self._sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}_owner'")
            if not known.strip():
                self._sql(f'CREATE ROLE "{name}_owner" NOLOGIN')
                self._sql(f'CREATE DATABASE "{name}" OWNER "{name}_owner"')
        except (ops.pebble.ConnectionError, ops.pebble.ExecError, ops.pebble.APIError):
            # It is just starting.
            event.defer()
            return
        password = secrets.token_urlsafe(24)
        # What it makes belongs to the database's owner: who is related next goes on with it.
        self._sql(
            f"DROP ROLE IF EXISTS {user};"
            f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE \"{name}_owner\";"
            f'ALTER ROLE {user} SET role "{name}_owner"'
        )
        network = self.model.get_binding(RELATION).network
        self.offered.set_response(
            event.relation.id,
            ResourceProviderModel(
                salt=event.request.salt,
                request_id=event.request.request_id,
                resource=name,
                endpoints=f"{network.ingress_address}:{PORT}",
                username=user,
                password=password,
                version="16",
            ),
        )

    def _take(self, event: ops.RelationBrokenEvent) -> None:
        # The data stay, as they do with the real one.
        self._sql(f"DROP ROLE IF EXISTS {self._user(event.relation)}")

    @staticmethod
    def _user(relation: ops.Relation) -> str:
        return f"relation_{relation.id}"

    def _sql(self, statement: str) -> str:
        process = self.container.exec(
            [*COMMAND.split(), "sql", "postgres"], stdin=f"{statement};\n", timeout=60
        )
        output, _ = process.wait_output()
        return output

    def _status(self, event: ops.CollectStatusEvent) -> None:
        event.add_status(ops.ActiveStatus())


if __name__ == "__main__":
    ops.main(PostgresqlCharm)
