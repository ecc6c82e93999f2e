"""A charm that uses the metadata service."""

import ops

from toolkit_charm import Unready, probe
from toolkit_charm.interfaces.metadata import MetadataRequirer


class ReaderCharm(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        self.metadata = MetadataRequirer(self, "metadata")
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)
        framework.observe(self.on["read"].action, self._on_read)

    def _on_collect_unit_status(self, event):
        try:
            info = self.metadata.load()
        except Unready as reason:
            event.add_status(reason.as_status)
        else:
            event.add_status(
                ops.ActiveStatus(info.url) if info else ops.BlockedStatus("relate it to metadata")
            )

    def _on_read(self, event):
        info = self.metadata.load()
        if info is None:
            event.fail("no relation")
            return
        code, version = probe.get(f"{info.url}/version", token=info.token)
        event.set_results({"url": info.url, "code": code, "version": version})


if __name__ == "__main__":
    ops.main(ReaderCharm)
