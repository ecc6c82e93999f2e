#!/usr/bin/env python3
"""The pipelines charm: runs the KFP API and its engine, and lets them start pods."""

from __future__ import annotations

import json
import logging
from urllib.parse import urlsplit

import ops
import yaml

from cluster import RESERVED, Cluster
from options import PipelinesOptions
from toolkit_charm import (
    Blocked,
    File,
    OptionsError,
    ToolkitCharm,
    Unready,
    Waiting,
    Workload,
    network,
    probe,
)
from toolkit_charm.interfaces.metadata import MetadataRequirer
from toolkit_charm.network import Addresses
from toolkit_charm.tokens import Token

logger = logging.getLogger(__name__)

PORT = 8888
ENDPOINT = "replicas"
METADATA = "metadata"
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
COMMAND = f"/opt/venv/bin/python -m toolkit_pipelines --config {SETTINGS}"
TEMPLATE = ["/opt/venv/bin/python", "-m", "toolkit_pipelines.template", "--config", SETTINGS]


class PipelinesCharm(ToolkitCharm[PipelinesOptions]):
    """One unit: its database is a file that only one engine may use."""

    container_name = "pipelines"
    options_type = PipelinesOptions

    def __init__(self, framework: ops.Framework) -> None:
        super().__init__(framework)
        self.metadata = MetadataRequirer(self, METADATA)
        # Why the unit's own container has no limits although some are asked for.
        self._unlimited = ""
        framework.observe(self.on.remove, self._on_remove)
        framework.observe(self.on.show_pod_template_action, self._on_show_pod_template)

    def desired(self, options: PipelinesOptions, token: Token) -> Workload:
        """Compute the settings, the files of secrets, and the checks."""
        for storage in FOLDERS:
            if not self.model.storages[storage]:
                raise Waiting(f"the storage {storage} is not attached yet")
        addresses = Addresses.load(self.model, ENDPOINT)
        cluster = Cluster(self.model.name, self.unit.name)
        self._unlimited = cluster.limit(options, self.container_name)
        # Where the steps are: here, or in another cluster.
        kubeconfig = self._kubeconfig(options)
        there = Cluster(self.model.name, self.unit.name, kubeconfig) if kubeconfig else cluster
        there.keep_manifests(options)
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
            "namespace": self.model.name,
            "artifact_transfer": options.artifact_transfer,
            "step_image": self._step_image(),
            "default_cpu": options.default_cpu,
            "default_memory": options.default_memory,
            "pods": options.pods(
                service_account=there.service_account,
                priority_class=there.priority_class(options),
            ),
            "index_url": options.package_index,
            "reserved_labels": RESERVED,
        }
        if options.artifact_transfer == "volume":
            settings["pipeline_root_claim"] = cluster.claim("pipeline-root")
            settings["environments_claim"] = cluster.claim("environments")
        else:
            settings["artifact_address"] = options.artifact_address or self.url()
        files = [File(TOKENS, token.file_content())]
        if kubeconfig:
            settings["kubeconfig"] = KUBECONFIG
            files.append(File(KUBECONFIG, kubeconfig, restart=True))
            cluster.drop_token()
        metadata = self.metadata.load()
        if metadata is None:
            there.drop_token()
        else:
            there.keep_token(metadata.token)
            settings["metadata_url"] = metadata.url
            settings["metadata_token_file"] = METADATA_TOKEN
            settings["metadata_secret"] = there.secret_name
            files.append(File(METADATA_TOKEN, f"{metadata.token}\n", restart=True))
        files.append(File(SETTINGS, yaml.safe_dump(settings, sort_keys=True), restart=True))
        return Workload(
            layer=self._layer(network.host(addresses.bind)),
            files=tuple(files),
            ports=(PORT,),
            halt=self.only_first(),
        )

    def _kubeconfig(self, options: PipelinesOptions) -> str:
        """Give the content of the kubeconfig for steps, "" if they run in this cluster."""
        if not options.kubeconfig:
            return ""
        if options.artifact_transfer == "volume":
            raise Blocked(
                "config kubeconfig: steps of another cluster cannot mount the storage here; "
                "set artifact-transfer=endpoint"
            )
        try:
            secret = self.model.get_secret(id=options.kubeconfig)
            return secret.get_content(refresh=True)["kubeconfig"]
        except (ops.SecretNotFoundError, ops.ModelError) as error:
            raise Blocked(
                f"config kubeconfig: {options.kubeconfig} cannot be read; run "
                f"`juju grant-secret {options.kubeconfig} {self.app.name}`"
            ) from error
        except KeyError as error:
            raise Blocked(
                f"config kubeconfig: {options.kubeconfig} has no key kubeconfig"
            ) from error

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

    @staticmethod
    def _layer(bind: str) -> ops.pebble.LayerDict:
        return {
            "summary": "pipelines",
            "services": {
                "pipelines": {
                    "override": "replace",
                    "summary": "the KFP API and its engine",
                    "command": COMMAND,
                    "startup": "enabled",
                    "kill-delay": "15s",
                    "on-check-failure": {"alive": "restart"},
                }
            },
            "checks": {
                # A server that hangs for half a minute is restarted.
                "alive": {
                    "override": "replace",
                    "startup": "enabled",
                    "level": "alive",
                    "period": "10s",
                    "timeout": "5s",
                    "threshold": 3,
                    "http": {"url": f"http://{bind}:{PORT}/livez"},
                },
                # The database answers and the engine has found its pods. Two failures take 10 s,
                # less than the charm waits for a start.
                "ready": {
                    "override": "replace",
                    "startup": "enabled",
                    "level": "ready",
                    "period": "5s",
                    "timeout": "4s",
                    "threshold": 2,
                    "http": {"url": f"http://{bind}:{PORT}/healthz"},
                },
            },
        }

    def url(self) -> str:
        """Where clients reach the API."""
        ingress = Addresses.load(self.model, ENDPOINT).ingress
        return f"http://{network.host(ingress)}:{PORT}"

    def ready_url(self) -> str:
        """Where the service tells that its database answers and its engine is at work."""
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
        """Tell how many steps wait for their pod to start, and the commonest reason."""
        return "; ".join(part for part in (self._waiting(token), self._unlimited) if part)

    def _waiting(self, token: Token) -> str:
        answer = probe.get(f"{self._listening()}/apis/v2beta1/waiting", token=token.value)
        if answer is None or answer[0] != 200:
            return ""
        found = json.loads(answer[1])
        steps, reasons = found.get("steps", 0), found.get("reasons") or []
        if not steps or not reasons:
            return ""
        noun = "step waits" if steps == 1 else "steps wait"
        return f"{steps} {noun}: {reasons[0]['reason']}"

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
        try:
            Cluster(self.model.name, self.unit.name).clear()
            kubeconfig = self._kubeconfig(PipelinesOptions.load(self.config))
            if kubeconfig:
                Cluster(self.model.name, self.unit.name, kubeconfig).clear()
        except (Unready, OptionsError) as reason:
            logger.warning("what the application made in Kubernetes stays behind: %s", reason)


if __name__ == "__main__":
    ops.main(PipelinesCharm)
