#!/usr/bin/env python3
"""A charm for tests: publishes the object store that its config names, by the library for that."""

import ops
from object_storage import S3Provider


class IntegratorCharm(ops.CharmBase):
    """Tells on every event."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.store = S3Provider(self, "s3-credentials")
        framework.observe(self.store.on.storage_connection_info_requested, self._publish)
        framework.observe(self.on.config_changed, self._publish)
        framework.observe(self.on.collect_unit_status, self._status)

    def _publish(self, _: ops.EventBase) -> None:
        secret_id = self.config.get("credentials")
        if not secret_id or not self.unit.is_leader():
            return
        keys = self.model.get_secret(id=str(secret_id)).get_content(refresh=True)
        data = {name: str(self.config[name]) for name in ("bucket", "path", "endpoint")}
        authority = self.config.get("tls-ca-chain")
        chain = {"tls-ca-chain": [str(authority)]} if authority else {}
        for relation in self.model.relations["s3-credentials"]:
            if self.store.is_protocol_ready(relation):
                self.store.set_storage_connection_info(
                    relation.id, {**data, **keys, **chain, "s3-uri-style": "path"}
                )

    def _status(self, event: ops.CollectStatusEvent) -> None:
        event.add_status(ops.ActiveStatus())


if __name__ == "__main__":
    ops.main(IntegratorCharm)
