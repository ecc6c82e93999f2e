#!/usr/bin/env python3
"""A charm for tests: records every hook, serves a page, passes a secret over a relation."""

import json
import time

import ops

PORT = 8080
SERVER = """
import http.server, pathlib, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(pathlib.Path("/data/page").read_bytes())
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Page).serve_forever()
"""


class AnyCharm(ops.CharmBase):
    """Reconciles on every event."""

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        for event in self.on.events().values():
            if issubclass(event.event_type, ops.ActionEvent | ops.LifecycleEvent):
                continue
            framework.observe(event, self._reconcile)
        framework.observe(self.on.collect_unit_status, self._status)
        framework.observe(self.on.echo_action, self._echo)
        framework.observe(self.on.fail_action, self._fail)
        framework.observe(self.on.password_action, self._password)

    def _reconcile(self, event: ops.EventBase) -> None:
        name = event.handle.kind
        with open("/var/lib/any/hooks", "a") as file:
            file.write(f"{name}\n")
        if self.config["fail-on"] == name:
            raise RuntimeError(f"told to fail on {name}")
        if self.config["hang-on"] == name:
            time.sleep(3600)
        self._share()
        container = self.unit.get_container("web")
        if not container.can_connect():
            return
        address = str(self.model.get_binding("out").network.bind_address)
        container.push("/data/page", str(self.config["message"]))
        container.push("/opt/server.py", SERVER, make_dirs=True)
        command = f"python3 /opt/server.py {address} {PORT}"
        container.add_layer(
            "web",
            {
                "services": {
                    "web": {"override": "replace", "command": command, "startup": "enabled"}
                }
            },
            combine=True,
        )
        container.replan()
        self.unit.set_ports(PORT)
        self.unit.set_workload_version("1.2.3")

    def _share(self) -> None:
        for relation in self.model.relations["out"]:
            relation.data[self.unit]["address"] = str(
                self.model.get_binding(relation).network.ingress_address
            )
            if not self.unit.is_leader() or not relation.active:
                continue
            try:
                secret = self.model.get_secret(label="password")
            except ops.SecretNotFoundError:
                secret = self.app.add_secret({"password": "correct horse"}, label="password")
            secret.grant(relation)
            relation.data[self.app]["secret"] = secret.id

    def _password(self, event: ops.ActionEvent) -> None:
        relation = self.model.get_relation("in")
        secret = self.model.get_secret(id=relation.data[relation.app]["secret"])
        event.set_results({"length": str(len(secret.get_content()["password"]))})

    def _status(self, event: ops.CollectStatusEvent) -> None:
        running = self.unit.get_container("web").can_connect() and all(
            service.is_running()
            for service in self.unit.get_container("web").get_services().values()
        )
        event.add_status(ops.ActiveStatus() if running else ops.WaitingStatus("no web yet"))

    def _echo(self, event: ops.ActionEvent) -> None:
        event.log("echoing")
        event.set_results({"text": event.params["text"], "deep.er": json.dumps([1])})

    def _fail(self, event: ops.ActionEvent) -> None:
        event.fail("told to fail")


if __name__ == "__main__":
    ops.main(AnyCharm)
