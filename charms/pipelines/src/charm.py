#!/usr/bin/env python3
"""The pipelines charm: runs the KFP API and its engine, and lets them start pods."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import ops
import yaml

import webhook
from cluster import RESERVED, Cluster, address
from options import PipelinesOptions
from places import Places, Record
from runs import RunActions
from toolkit_charm import (
    Blocked,
    File,
    ToolkitCharm,
    Unready,
    Waiting,
    Workload,
    layers,
    network,
    probe,
    user_secrets,
)
from toolkit_charm.artifact_store import ArtifactStore, ArtifactStores
from toolkit_charm.database import Database
from toolkit_charm.interfaces.metadata import MetadataInfo, MetadataRequirer
from toolkit_charm.network import Addresses
from toolkit_charm.options import OptionsError
from toolkit_charm.tokens import Token
from upkeep import Upkeep

logger = logging.getLogger(__name__)

PORT = 8888
ENDPOINT = "replicas"
METADATA = "metadata"
DATABASE = "database"
STEP_IMAGE = "step-image"
# The container's mounts, by storage.
FOLDERS = {
    "state": "/state",
    "pipeline-root": "/pipeline-root",
    "environments": "/environments",
}
SETTINGS = "/etc/toolkit-pipelines/settings.yaml"
TOKENS = "/etc/toolkit-pipelines/tokens"
KUBECONFIG = "/etc/toolkit-pipelines/kubeconfig"
METADATA_TOKEN = "/etc/toolkit-pipelines/metadata-token"  # noqa: S105 - the path of a file
LOGIN = "/etc/toolkit-pipelines/database"
STORE_KEYS = "/etc/toolkit-pipelines/artifact-store"
STORE_AUTHORITIES = "/etc/toolkit-pipelines/artifact-store-ca"
COMMAND = f"/opt/venv/bin/python -m toolkit_pipelines --config {SETTINGS}"
UPKEEP = ["/opt/venv/bin/python", "-m", "toolkit_pipelines.upkeep", "--config", SETTINGS]
TEMPLATE = ["/opt/venv/bin/python", "-m", "toolkit_pipelines.template", "--config", SETTINGS]


class PipelinesCharm(ToolkitCharm[PipelinesOptions]):
    """One engine works on a database; where units share all it needs, the others stand by."""

    container_name = "pipelines"
    options_type = PipelinesOptions

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.metadata = MetadataRequirer(self, METADATA)
        self.stores = ArtifactStores(self)
        self.upkeep = Upkeep(self, UPKEEP, self._absent)
        self.runs = RunActions(self, self._listening, self._absent)
        self.database = Database(
            self, DATABASE, container=self.container, folder=FOLDERS["state"], login=LOGIN
        )
        # Why the unit's own container has no limits although some are asked for.
        self._unlimited = ""
        self._record = Record(self)
        # What is left of it in clusters where its steps were, and why.
        self._left: list[str] = []
        framework.observe(self.on.remove, self._on_remove)
        framework.observe(self.on.secret_remove, self._on_secret_remove)
        framework.observe(self.on.forget_clusters_action, self._on_forget_clusters)
        framework.observe(self.on.show_pod_template_action, self._on_show_pod_template)

    def desired(self, options: PipelinesOptions, token: Token) -> Workload:
        """Compute the settings, the files of secrets, and the checks."""
        for storage in FOLDERS:
            if not self.model.storages[storage]:
                raise Waiting(f"the storage {storage} is not attached yet")
        addresses = Addresses.load(self.model, ENDPOINT)
        place = self.database.place()
        store = self._store(options)
        hook = webhook.load(self, options.failure_webhook, options.failure_webhook_key)
        cluster = self._cluster()
        self._unlimited = cluster.limit(options, self.container_name)
        # Where the steps are: here, or in another cluster.
        kubeconfig = self._kubeconfig(options)
        there = self._cluster(kubeconfig) if kubeconfig else cluster
        metadata = self.metadata.load()
        if self.unit.is_leader():
            # Before anything is made there.
            self._record.write(self._record.places.moved(kubeconfig))
        self._furnish(there, options, metadata)
        settings: dict[str, object] = {
            "name": self.app.name,
            "host": str(addresses.bind),
            "port": PORT,
            "state": FOLDERS["state"],
            "pipeline_root": FOLDERS["pipeline-root"],
            "environments": FOLDERS["environments"],
            "token_file": TOKENS,
            "allowed_hosts": self._hosts(addresses, options),
            "log_level": options.log_level,
            "parallelism": options.parallelism,
            "caching": options.caching,
            "cache_ttl": options.cache_ttl,
            "run_retention": options.run_retention,
            "run_retention_count": options.run_retention_count,
            "namespace": self.model.name,
            "artifact_transfer": "store" if store else options.artifact_transfer,
            "step_image": self._step_image(),
            "default_cpu": options.default_cpu,
            "default_memory": options.default_memory,
            "pods": options.pods(
                service_account=there.service_account,
                priority_class=there.priority_class(options),
            ),
            "index_url": options.package_index,
            "offline": options.offline,
            "environments_limit": options.environments_limit,
            "image_map": options.image_map,
            "reserved_labels": RESERVED,
            **dict(hook.settings),
        }
        if not self._first:
            settings["begins"] = False
        if hook.settings:
            # What is told has a link to the run.
            settings["url"] = self.url()
        if settings["artifact_transfer"] == "volume":
            settings["pipeline_root_claim"] = cluster.claim("pipeline-root")
            settings["environments_claim"] = cluster.claim("environments")
        else:
            settings["artifact_address"] = options.artifact_address or self.url()
        files = [File(TOKENS, token.file_content()), *hook.files]
        if place.login is not None:
            settings["database_file"] = LOGIN
            files.append(place.login)
        if store is not None:
            settings["artifact_store"] = store.uri
            settings["artifact_store_credentials"] = STORE_KEYS
            files += store.files(STORE_KEYS, STORE_AUTHORITIES)
            if store.certificates:
                settings["artifact_store_certificates"] = STORE_AUTHORITIES
        if kubeconfig:
            settings["kubeconfig"] = KUBECONFIG
            files.append(File(KUBECONFIG, kubeconfig, restart=True))
        if metadata is not None:
            settings["metadata_url"] = metadata.url
            settings["metadata_token_file"] = METADATA_TOKEN
            settings["metadata_secret"] = there.secret_name
            files.append(File(METADATA_TOKEN, f"{metadata.token}\n", restart=True))
        files.append(File(SETTINGS, yaml.safe_dump(settings, sort_keys=True), restart=True))
        return Workload(
            layer=layers.server(
                "pipelines",
                summary="the KFP API and its engine",
                command=COMMAND,
                alive=f"{self._listening()}/livez",
                ready=self.ready_url(),
                watched={"leads": self._leads_url()} if place.login is not None else {},
            ),
            files=tuple(files),
            ports=(PORT,),
            halt=place.halt or self.alone(options),
        )

    @property
    def _first(self) -> bool:
        # By number, not by leadership: unit 0 has had the data, and a scale-down keeps it.
        return self.unit.name.endswith("/0")

    def alone(self, options: PipelinesOptions) -> str | None:
        """Why this unit must not run, since what it needs is on the storage of unit 0; or None.

        Raises:
            Blocked, Waiting: it cannot be told where artifacts are kept.
        """
        if self._first:
            return None
        missing = []
        if not self.database.related:
            missing.append(f"`juju integrate {self.app.name}:{DATABASE} POSTGRESQL`")
        if self._store(options) is None:
            missing.append(f"`juju integrate {self.app.name} S3-INTEGRATOR` (or artifact-store)")
        if not missing:
            return None
        return (
            f"a further unit needs {' and '.join(missing)}; or run "
            f"`juju scale-application {self.app.name} 1`"
        )

    def _absent(self) -> str:
        """Give why this unit serves nothing, or ""; for actions."""
        if self._first:
            return ""
        try:
            return self.alone(self.options_type.load(self.config)) or ""
        except (OptionsError, Unready) as reason:
            return str(reason)

    def share(self, token: Token) -> None:
        """Ask for a database where one is to be had."""
        del token
        self.database.request()

    def trouble(self) -> str:
        """Tell what the service said of its database."""
        return self.database.problem()

    def unready(self) -> str:
        """Tell what the service says of why it is not ready."""
        answer = probe.get(self.ready_url())
        if answer is None or answer[0] != HTTPStatus.SERVICE_UNAVAILABLE:
            return ""
        try:
            said = json.loads(answer[1])["message"]
        except (ValueError, KeyError, TypeError):
            # What comes from something in between, and not from the service.
            return ""
        return str(said)

    def applied(self, options: PipelinesOptions) -> None:
        """Delete what is left where steps were: only now does nothing more come to it."""
        if not self.unit.is_leader():
            return
        for left in self._record.places.left:
            try:
                self._cluster(left).clear()
            except Unready as reason:
                if not left:
                    raise
                self._left.append(_stays(left, reason))
                logger.warning("%s", self._left[-1])
            else:
                logger.info("deleted what the application made in %s", address(left))
                self._record.write(self._record.places.cleared(left))
                # The same namespace may be known by two addresses.
                there = self._cluster(self._kubeconfig(options))
                self._furnish(there, options, self.metadata.load())

    def _cluster(self, kubeconfig: str = "") -> Cluster:
        return Cluster(self.model.name, self.unit.name, kubeconfig)

    @staticmethod
    def _furnish(there: Cluster, options: PipelinesOptions, metadata: MetadataInfo | None) -> None:
        """Make what steps need in Kubernetes."""
        there.keep_manifests(options)
        if metadata is None:
            there.drop_token()
        else:
            there.keep_token(metadata.token)

    def _store(self, options: PipelinesOptions) -> ArtifactStore | None:
        """Give the object store that artifacts are kept in, None if the storage has them."""
        return self.stores.load(options.artifact_store, options.artifact_store_credentials)

    def _kubeconfig(self, options: PipelinesOptions) -> str:
        """Give the content of the kubeconfig for steps, "" if they run in this cluster."""
        if not options.kubeconfig:
            return ""
        if options.artifact_transfer == "volume" and self._store(options) is None:
            raise Blocked(
                "config kubeconfig: steps of another cluster cannot mount the storage here; "
                "set artifact-transfer=endpoint, or an artifact-store"
            )
        found = user_secrets.content(self, "kubeconfig", options.kubeconfig, ["kubeconfig"])
        return found["kubeconfig"]

    def _hosts(self, addresses: Addresses, options: PipelinesOptions) -> list[str]:
        own = (network.host(addresses.ingress), *network.names(self.unit, self.model.name))
        if options.artifact_address:
            own = (*own, urlsplit(options.artifact_address).netloc)
        return list(dict.fromkeys((*own, *options.allowed_hosts)))

    def _step_image(self) -> str:
        try:
            path = self.model.resources.fetch(STEP_IMAGE)
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (ops.ModelError, OSError, yaml.YAMLError) as error:
            raise Blocked(f"the resource {STEP_IMAGE} is missing: {error}") from error
        reference = data.get("registrypath") if isinstance(data, dict) else None
        if not isinstance(reference, str) or not reference:
            raise Blocked(f"the resource {STEP_IMAGE} names no image")
        return reference

    def url(self) -> str:
        """Where clients reach the API."""
        ingress = Addresses.load(self.model, ENDPOINT).ingress
        return f"http://{network.host(ingress)}:{PORT}"

    def _leads_url(self) -> str:
        return f"{self._listening()}/leads"

    def ready_url(self) -> str:
        """Where the service tells that its database answers and its engine is at work.

        One that stands by asks the one that leads, as it does with all requests.
        """
        return f"{self._listening()}/healthz"

    def _listening(self) -> str:
        bind = Addresses.load(self.model, ENDPOINT).bind
        return f"http://{network.host(bind)}:{PORT}"

    def version(self, token: Token) -> str | None:
        """Ask the service for its version."""
        answer = probe.get(self.ready_url(), token=token.value)
        if answer is None or answer[0] != 200:
            return None
        found = json.loads(answer[1]).get("version")
        return found if isinstance(found, str) else None

    def remark(self, token: Token) -> str:
        """Tell how many steps wait for their pod to start, and what MLflow does not take.

        Of a unit that stands by, tell that it does.

        Raises:
            Blocked, Waiting: artifacts cannot be kept where they shall be.
        """
        self.stores.check(f"{self._listening()}/apis/v2beta1/artifact_store", token.value)
        if self._stands_by():
            return "stand-by: another unit leads the engine"
        parts = (*self._waiting(token), *self._left, self._unlimited)
        return "; ".join(part for part in parts if part)

    def _stands_by(self) -> bool:
        if not self.database.related:
            return False
        answer = probe.get(self._leads_url())
        return answer is not None and answer[0] == HTTPStatus.SERVICE_UNAVAILABLE

    def _waiting(self, token: Token) -> Iterator[str]:
        answer = probe.get(f"{self._listening()}/apis/v2beta1/waiting", token=token.value)
        if answer is None or answer[0] != 200:
            return
        found = json.loads(answer[1])
        steps, reasons = found.get("steps", 0), found.get("reasons") or []
        if steps and reasons:
            noun = "step waits" if steps == 1 else "steps wait"
            yield f"{steps} {noun}: {reasons[0]['reason']}"
        records = found.get("records") or {}
        if refused := records.get("refused", 0):
            noun = "record" if refused == 1 else "records"
            yield f"MLflow refused {refused} {noun} for good today: {records.get('refusal')}"
        if runs := records.get("runs", 0):
            noun = "run" if runs == 1 else "runs"
            yield f"records of {runs} {noun} wait for MLflow: {records.get('reason')}"

    def usage(self, token: Token, url: str) -> dict[str, str]:
        """Show how KFP's client uses the token."""
        return {
            "python": f"kfp.Client(host={url!r}, existing_token={token.value!r})",
            "environment": f"KF_PIPELINES_ENDPOINT={url}",
        }

    def _on_show_pod_template(self, event: ops.ActionEvent) -> None:
        names = ("image", "cpu", "memory", "gpu-count", "gpu-resource")
        given = {name: event.params.get(name) for name in names}
        words = [f"--{name}={value}" for name, value in given.items() if value not in (None, "")]
        try:
            output, _ = self.container.exec([*TEMPLATE, *words], timeout=30).wait_output()
        except ops.pebble.ExecError as error:
            event.fail((error.stderr or "").strip() or str(error))
        except (ops.pebble.APIError, ops.pebble.ConnectionError, ops.pebble.ChangeError) as error:
            event.fail(f"the workload's container cannot be asked now: {error}")
        else:
            event.set_results({"template": output})

    def _on_remove(self, _: ops.RemoveEvent) -> None:
        # With the last unit goes what the application left in the cluster.
        if self.app.planned_units() > 0:
            return
        for each in self._record.places.all:
            try:
                self._cluster(each).clear()
            except Unready as reason:
                logger.warning("%s", _stays(each, reason))

    def _on_secret_remove(self, event: ops.SecretRemoveEvent) -> None:
        # Credentials that are not needed any more are kept nowhere.
        event.secret.remove_revision(event.revision)

    def _on_forget_clusters(self, event: ops.ActionEvent) -> None:
        if not self.unit.is_leader():
            event.fail("run it on the leader")
            return
        known = self._record.places
        self._record.write(Places(known.current))
        forgotten = [address(each) for each in known.left]
        event.set_results({"forgotten": "; ".join(forgotten) or "none"})


def _stays(kubeconfig: str, reason: Unready) -> str:
    """Say what the application leaves behind, where and why."""
    why = reason.__cause__ or reason
    return f"pods, secrets and manifests of steps stay in {address(kubeconfig)}: {why}"


if __name__ == "__main__":
    ops.main(PipelinesCharm)
