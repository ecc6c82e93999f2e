#!/usr/bin/env python3
"""The metadata charm: runs MLflow's server and tells related applications where it is."""

from __future__ import annotations

import shlex

import ops

from options import MetadataOptions
from toolkit_charm import File, ToolkitCharm, Waiting, Workload, layers, network, probe
from toolkit_charm.artifact_store import ArtifactStores
from toolkit_charm.database import Database
from toolkit_charm.interfaces.metadata import MetadataProvider
from toolkit_charm.network import Addresses
from toolkit_charm.tokens import Token

RELATION = "metadata"
DATABASE = "database"
PORT = 5000
DATA = "/data"
TOKENS = "/etc/toolkit/tokens"
LOGIN = "/etc/toolkit/database"
STORE_KEYS = "/etc/toolkit/artifact-store"
STORE_AUTHORITIES = "/etc/toolkit/artifact-store-ca"
PYTHON = "/opt/venv/bin/python"


class MetadataCharm(ToolkitCharm[MetadataOptions]):
    """One unit: it alone has the storage, for all that is neither in PostgreSQL nor in a store."""

    container_name = "metadata"
    options_type = MetadataOptions

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.provider = MetadataProvider(self, RELATION)
        self.stores = ArtifactStores(self)
        self.database = Database(
            self, DATABASE, container=self.container, folder=DATA, login=LOGIN
        )

    def desired(self, options: MetadataOptions, token: Token) -> Workload:
        """Compute the server's command line, checks and token file."""
        if not self.model.storages["data"]:
            raise Waiting("the storage data is not attached yet")
        addresses = Addresses.load(self.model, RELATION)
        place = self.database.place()
        store = self.stores.load(options.artifact_store, options.artifact_store_credentials)
        hosts = dict.fromkeys(
            (
                network.host(addresses.ingress),
                *network.names(self.unit, self.model.name),
                *options.allowed_hosts,
            )
        )
        command = [PYTHON, "-m", "toolkit_metadata"]
        command += ["--address", str(addresses.bind), "--port", str(PORT)]
        command += ["--data", DATA, "--artifact-root", options.artifact_root]
        command += ["--tokens", TOKENS]
        files = [File(TOKENS, token.file_content())]
        if place.login is not None:
            command += ["--login", LOGIN]
            files.append(place.login)
        if store is not None:
            command += ["--artifact-store", store.uri, "--artifact-store-credentials", STORE_KEYS]
            if store.certificates:
                command += ["--artifact-store-certificates", STORE_AUTHORITIES]
            if options.artifact_transfer == "direct":
                command.append("--artifact-links")
            files += store.files(STORE_KEYS, STORE_AUTHORITIES)
        command += ["--log-level", options.log_level, "--workers", str(options.workers)]
        for host in hosts:
            command += ["--allowed-host", host]
        layer = layers.server(
            "metadata",
            summary="MLflow's tracking server",
            command=shlex.join(command),
            alive=self._local("/health"),
            ready=self.ready_url(),
        )
        return Workload(
            layer=layer,
            files=tuple(files),
            ports=(PORT,),
            halt=self.only_first("the storage") or place.halt,
        )

    def url(self) -> str:
        """Where clients reach the server."""
        ingress = Addresses.load(self.model, RELATION).ingress
        return f"http://{network.host(ingress)}:{PORT}"

    def _local(self, path: str) -> str:
        bind = Addresses.load(self.model, RELATION).bind
        return f"http://{network.host(bind)}:{PORT}{path}"

    def ready_url(self) -> str:
        """Where the server tells that its database answers."""
        return self._local("/ready")

    def version(self, token: Token) -> str | None:
        """Ask the server for MLflow's version."""
        answer = probe.get(self._local("/version"), token=token.value)
        return answer[1].strip() if answer is not None and answer[0] == 200 else None

    def remark(self, token: Token) -> str:
        """Say nothing besides, once the server has tried its object store.

        Raises:
            Blocked, Waiting: artifacts cannot be kept where they shall be.
        """
        self.stores.check(self._local("/artifact-store"), token.value)
        return ""

    def share(self, token: Token) -> None:
        """Tell related applications the address and grant them the token; ask for a database."""
        self.database.request()
        self.provider.publish(url=self.url(), secret=token.secret)

    def trouble(self) -> str:
        """Tell what the server said of its database."""
        return self.database.problem()

    def usage(self, token: Token, url: str) -> dict[str, str]:
        """Show how MLflow's clients and a browser use the token."""
        return {
            "python": f"MLFLOW_TRACKING_URI={url} MLFLOW_TRACKING_TOKEN={token.value}",
            "browser": f"open {url}; any user name, the token as password",
        }


if __name__ == "__main__":
    ops.main(MetadataCharm)
