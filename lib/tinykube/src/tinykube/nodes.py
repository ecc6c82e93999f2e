"""The commands for nodes: to be one of another control plane, and to let others be of this one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tinykube.config import ConfigError, Folder
from tinykube.objects import JSON

_PORT = 10250


def add_parser(
    command: Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser],
) -> None:
    """Add the command by the function that makes one from name, help and what to run."""
    sub = command("node", "be a node of another control plane, in the foreground", _run)
    sub.add_argument(
        "--kubeconfig",
        type=Path,
        required=True,
        help="the control plane, and this node's identity there (system:node:NAME)",
    )
    sub.add_argument("--name", help="the node's name (by default the machine's)")
    sub.add_argument(
        "--data", type=Path, help="the node's folder (by default nodes/NAME in $TINYKUBE_DATA)"
    )
    sub.add_argument(
        "--config", type=Path, help="capacity, images, hostPaths (by default config.yaml in it)"
    )
    sub.add_argument("--address", default="127.0.0.1", help="where it listens and is reached")
    sub.add_argument("--port", type=int, default=_PORT, help="for logs over HTTPS; 0: a free one")
    sub.add_argument("--tls-cert-file", type=Path, help="its server's certificate")
    sub.add_argument("--tls-private-key-file", type=Path, help="and key (by default self-signed)")
    sub.add_argument("--client-ca-file", type=Path, help="who vouches for clients' certificates")
    sub.add_argument("--labels", default="", help="KEY=VALUE,... of its Node")
    sub.add_argument("--taints", default="", help="KEY[=VALUE]:EFFECT,... of its new Node")

    sub = command("node-credentials", "let another node join this control plane", _credentials)
    sub.add_argument("name", help="the node's name")
    sub.add_argument("--out", type=Path, required=True, help="a new folder for its files")
    sub.add_argument("--address", default="127.0.0.1", help="where this control plane asks it")


def labels(text: str) -> dict[str, str]:
    """Read `KEY=VALUE,...`. Raises ValueError."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise ValueError(f"--labels: {part!r} is not KEY=VALUE")
        found[key] = value
    return found


def taints(text: str) -> list[JSON]:
    """Read `KEY[=VALUE]:EFFECT,...`. Raises ValueError."""
    found = []
    for part in filter(None, text.split(",")):
        front, _, effect = part.rpartition(":")
        key, _, value = front.partition("=")
        if not (key and effect):
            raise ValueError(f"--taints: {part!r} is not KEY=VALUE:EFFECT or KEY:EFFECT")
        found.append({"key": key, "value": value, "effect": effect})
    return found


def _credentials(parsed: argparse.Namespace) -> int:
    # Only here: the other commands need none of it and stay quick.
    import base64

    from tinykube import names, pki
    from tinykube.node import connection

    folder = Folder.default()
    if fault := names.subdomain_fault(parsed.name):
        raise ConfigError(f"{parsed.name!r} names no node: {fault}")
    if not folder.kubeconfig.exists():
        raise ConfigError(f"there is no {folder.kubeconfig} yet: `tinykube start` writes it")
    out: Path = parsed.out.absolute()
    try:
        out.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigError(f"{out} is there already; name a new folder") from None
    server = connection.read(folder.kubeconfig, out).server
    identity = f"system:node:{parsed.name}"
    client = out / "client.crt", out / "client.key"
    pki.issue(*client, folder.keys, identity, ("system:nodes",))
    hosts = (parsed.name, parsed.address)
    pki.issue(out / "serving.crt", out / "serving.key", folder.keys, identity, (), hosts)
    authority = (folder.keys / "ca.crt").read_bytes()
    pki.write_private(out / "ca.crt", authority)
    certificate, key, trusted = (
        base64.b64encode(data).decode("ascii")
        for data in (client[0].read_bytes(), client[1].read_bytes(), authority)
    )
    text = f"""\
apiVersion: v1
kind: Config
clusters:
- name: tinykube
  cluster:
    certificate-authority-data: {trusted}
    server: {server}
contexts:
- name: tinykube
  context: {{cluster: tinykube, user: "{identity}"}}
current-context: tinykube
users:
- name: "{identity}"
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""
    pki.write_private(out / "kubeconfig", text.encode("ascii"))
    for file in client:
        file.unlink()
    _say(
        f"{out} lets node {parsed.name} join; keep it secret. There:\n"
        f"  tinykube node --name {parsed.name} --address {parsed.address} "
        f"--kubeconfig {out}/kubeconfig \\\n"
        f"    --client-ca-file {out}/ca.crt --tls-cert-file {out}/serving.crt "
        f"--tls-private-key-file {out}/serving.key"
    )
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _run(parsed: argparse.Namespace) -> int:
    # Only here: the other commands need none of it and stay quick.
    import asyncio
    import logging
    import os
    import signal

    from tinykube.daemon import node_name
    from tinykube.node import standalone

    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for name in ("uvicorn.error", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    name = parsed.name or node_name()
    folder = parsed.data or Folder.default().root / "nodes" / name
    if (parsed.tls_cert_file is None) != (parsed.tls_private_key_file is None):
        raise ConfigError("--tls-cert-file and --tls-private-key-file come together")
    try:
        options = standalone.Options(
            kubeconfig=parsed.kubeconfig,
            name=name,
            folder=folder.absolute(),
            config=(parsed.config or folder / "config.yaml").absolute(),
            address=parsed.address,
            port=parsed.port,
            certificate=parsed.tls_cert_file,
            key=parsed.tls_private_key_file,
            clients=parsed.client_ca_file,
            labels=labels(parsed.labels),
            taints=taints(parsed.taints),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    os.umask(0o077)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await standalone.serve(options, stop)

    try:
        asyncio.run(run())
    except standalone.NodeError as error:
        raise ConfigError(str(error)) from error
    return 0
