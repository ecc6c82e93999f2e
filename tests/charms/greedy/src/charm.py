#!/usr/bin/env python3
"""A charm for tests: its workload takes ports 80 and 8080 on every address, and says its name."""

import ops

PORTS = (80, 8080)
SERVER = """
import http.server, sys, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())
    def log_message(self, *args):
        pass
for port in sys.argv[2:]:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Page)
    threading.Thread(target=server.serve_forever).start()
"""


class GreedyCharm(ops.CharmBase):
    """Serves from its container, and tells related units where."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        framework.observe(self.on.web_pebble_ready, self._serve)
        framework.observe(self.on["out"].relation_created, self._tell)
        framework.observe(self.on.collect_unit_status, self._status)

    def _serve(self, event: ops.PebbleReadyEvent) -> None:
        event.workload.push("/opt/server.py", SERVER, make_dirs=True)
        words = " ".join(str(port) for port in PORTS)
        command = f"python3 /opt/server.py {self.unit.name} {words}"
        service = {"override": "replace", "command": command, "startup": "enabled"}
        event.workload.add_layer("web", {"services": {"web": service}}, combine=True)
        event.workload.replan()
        self.unit.set_ports(*PORTS)

    def _tell(self, event: ops.RelationCreatedEvent) -> None:
        network = self.model.get_binding(event.relation).network
        event.relation.data[self.unit]["url"] = f"http://{network.ingress_address}"
        event.relation.data[self.unit]["link"] = network.interfaces[0].name

    def _status(self, event: ops.CollectStatusEvent) -> None:
        services = {}
        container = self.unit.get_container("web")
        if container.can_connect():
            services = container.get_services("web")
        running = services and all(service.is_running() for service in services.values())
        event.add_status(ops.ActiveStatus() if running else ops.WaitingStatus("no web yet"))


if __name__ == "__main__":
    ops.main(GreedyCharm)
