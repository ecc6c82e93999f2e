"""Kueue without its webhooks: Jobs must ask for a queue and come suspended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightkube
import yaml
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Namespace

from sandbox import bubblewrap

from ...ports import free_ports
from .plane import ControlPlane
from .processes import Process

GROUP = "kueue.x-k8s.io"
_VERSION = "v1beta2"
LABEL = "kueue.x-k8s.io/queue-name"
Flavor = create_global_resource(GROUP, _VERSION, "ResourceFlavor", "resourceflavors")
ClusterQueue = create_global_resource(GROUP, _VERSION, "ClusterQueue", "clusterqueues")
LocalQueue = create_namespaced_resource(GROUP, _VERSION, "LocalQueue", "localqueues")
Workload = create_namespaced_resource(GROUP, _VERSION, "Workload", "workloads")


def start(plane: ControlPlane, client: lightkube.Client, program: Path) -> Process:
    """Define its kinds and run it; returns when it is ready."""
    names = []
    for file in sorted((program.parent / "definitions").glob("*.yaml")):
        definition = yaml.safe_load(file.read_text())
        # Nobody serves the conversion webhook; the versions that are asked for are stored ones.
        definition["spec"].pop("conversion", None)
        names.append(definition["metadata"]["name"])
        client.create(CustomResourceDefinition.from_dict(definition))
    for name in names:
        client.wait(CustomResourceDefinition, name, for_conditions=["Established"])
    client.create(Namespace(metadata=ObjectMeta(name="kueue-system")))
    health, webhook = free_ports(2)
    certificates = plane.serving("kueue")
    folder = plane.folder / "kueue"
    folder.mkdir()
    (folder / "tls.crt").symlink_to(certificates.certificate)
    (folder / "tls.key").symlink_to(certificates.key)
    configuration = {
        "apiVersion": f"config.kueue.x-k8s.io/{_VERSION}",
        "kind": "Configuration",
        "namespace": "kueue-system",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"port": webhook, "host": "127.0.0.1", "certDir": str(folder)},
        "integrations": {"frameworks": ["batch/job"]},
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(configuration))
    return plane.run(
        "kueue",
        [
            # It reads its certificates from a fixed place that only an administrator could fill.
            *[
                str(bubblewrap.find()),
                "--die-with-parent",
                "--dev-bind",
                "/",
                "/",
                "--tmpfs",
                "/etc",
            ],
            *["--ro-bind", str(folder), "/etc/kueue/metrics/certs", "--"],
            str(program),
            f"--config={file}",
            f"--kubeconfig={plane.kubeconfig}",
            "--feature-gates=VisibilityOnDemand=false",
        ],
    )


def queue(client: lightkube.Client, name: str, namespace: str, quota: dict[str, str]) -> None:
    """A local queue `name` with a quota of its own, on any node."""
    flavor: dict[str, Any] = {"spec": {}}
    client.create(Flavor(metadata=ObjectMeta(name=name), **flavor))
    resources = [{"name": key, "nominalQuota": value} for key, value in quota.items()]
    group = {
        "coveredResources": list(quota),
        "flavors": [{"name": name, "resources": resources}],
    }
    client.create(
        ClusterQueue(
            metadata=ObjectMeta(name=name),
            spec={"namespaceSelector": {}, "resourceGroups": [group]},
        )
    )
    client.create(
        LocalQueue(
            metadata=ObjectMeta(name=name, namespace=namespace), spec={"clusterQueue": name}
        )
    )


def active(client: lightkube.Client, name: str) -> bool:
    """Whether the queue admits: its flavors are known."""
    try:
        found = client.get(ClusterQueue, name)
    except ApiError as error:
        if error.status.code != 404:
            raise
        return False
    conditions = (found.status or {}).get("conditions", [])
    return any(item["type"] == "Active" and item["status"] == "True" for item in conditions)
