"""A real control plane on loopback: etcd, API server, controller manager, scheduler.

RBAC and the Node authorizer are on; everybody has a certificate; nothing listens beyond loopback.
It is up in about five seconds and takes 0.7 GiB.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import lightkube
from lightkube.core.exceptions import ApiError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount, ServiceAccountToken

from ...ports import free_ports
from . import kubeconfigs
from .certificates import Authority, Pair
from .processes import Process

_LOOPBACK = "127.0.0.1"
_ADMINISTRATOR = ("system:masters",)
_SERVER_NAMES = (
    _LOOPBACK,
    "10.96.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
)


class ControlPlane:
    """The control plane below one folder; use it as a context.

    Attributes:
        url: the API server.
        kubeconfig: the administrator's.
        folder: data, certificates and, in `logs/`, what each program printed.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self._program = program
        self._authority = Authority(folder / "pki")
        self._identities: dict[str, Pair] = {}
        (self._port,) = free_ports()
        self.url = f"https://{_LOOPBACK}:{self._port}"
        self.processes: dict[str, Process] = {}
        (folder / "logs").mkdir()
        self.kubeconfig = self.user("admin", _ADMINISTRATOR)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def authority(self) -> Path:
        """The certificate of who vouches for everybody here."""
        return self._authority.certificate

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a certificate for the user `name` in `groups`."""
        file = name.replace(":", "-")
        self._identities[name] = self._authority.issue(file, name, tuple(groups))
        return kubeconfigs.write(
            self.folder / f"{file}.kubeconfig",
            self.url,
            self._authority.certificate,
            self._identities[name],
        )

    def node(self, name: str) -> Path:
        """A kubeconfig for the kubelet of the node `name`."""
        return self.user(f"system:node:{name}", ("system:nodes",))

    def serving(self, name: str) -> Pair:
        """A certificate for a server on loopback that the API server trusts as a kubelet."""
        return self._authority.issue(f"serving-{name}", name, hosts=(_LOOPBACK, "localhost"))

    def account(self, name: str, namespace: str = "default") -> Path:
        """A kubeconfig with a token for a service account that exists."""
        client = self.client()
        try:
            spec = TokenRequestSpec(audiences=[], expirationSeconds=3600)
            request = ServiceAccountToken(metadata=ObjectMeta(), spec=spec)
            token = client.create(request, name, namespace=namespace).status.token
        finally:
            client.close()
        return kubeconfigs.write(
            self.folder / f"{namespace}-{name}.kubeconfig",
            self.url,
            self._authority.certificate,
            token,
            namespace,
        )

    def client(self, kubeconfig: Path | None = None) -> lightkube.Client:
        """A client of the administrator, or of `kubeconfig`; the caller closes it."""
        config = lightkube.KubeConfig.from_file(kubeconfig or self.kubeconfig)
        return lightkube.Client(config, field_manager="test")

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        """The command line of kubectl with `arguments`."""
        return [
            str(self._program),
            "kubectl",
            f"--kubeconfig={kubeconfig or self.kubeconfig}",
            f"--cache-dir={self.folder / 'kubectl-cache'}",
            *arguments,
        ]

    def run(self, name: str, argv: Sequence[str]) -> Process:
        """Start a program that ends with this control plane."""
        self.processes[name] = Process(name, argv, self.folder / "logs" / f"{name}.log")
        return self.processes[name]

    def stop(self) -> None:
        """End all programs, the last started first: etcd goes when nobody needs it."""
        for process in reversed(self.processes.values()):
            process.stop()
        self.processes.clear()

    def _start(self) -> None:
        store = self._etcd()
        self._apiserver(store)
        signer = self._signer
        for name, options in {
            "kube-controller-manager": [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={signer.key}",
                f"--root-ca-file={self._authority.certificate}",
                f"--cluster-signing-cert-file={self._authority.pair.certificate}",
                f"--cluster-signing-key-file={self._authority.pair.key}",
                # A quota is counted anew at once after a change; this is for what went unseen.
                "--resource-quota-sync-period=5s",
            ],
            "kube-scheduler": [],
        }.items():
            self._part(
                name,
                f"--kubeconfig={self.user(f'system:{name}')}",
                "--leader-elect=false",
                "--secure-port=0",
                *options,
            )
        self._wait_for_accounts()

    def _part(self, name: str, *options: str) -> Process:
        return self.run(name, [str(self._program), name, *options])

    def _etcd(self) -> str:
        clients, peers = (f"{_LOOPBACK}:{port}" for port in free_ports(2))
        server = self._authority.issue("etcd", "etcd", hosts=(_LOOPBACK,))
        process = self._part(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            "--name=test",
            f"--listen-client-urls=https://{clients}",
            f"--advertise-client-urls=https://{clients}",
            f"--listen-peer-urls=http://{peers}",
            f"--initial-advertise-peer-urls=http://{peers}",
            f"--initial-cluster=test=http://{peers}",
            "--client-cert-auth",
            f"--trusted-ca-file={self._authority.certificate}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        url = f"https://{clients}"
        client = self._authority.issue("etcd-client", "kube-apiserver")
        self._identities["etcd-client"] = client
        process.wait_until(lambda: self._answers(f"{url}/health", client))
        return url

    def _apiserver(self, store: str) -> None:
        authority = self._authority.certificate
        client = self._identities["etcd-client"]
        server = self._authority.issue("apiserver", "kube-apiserver", hosts=_SERVER_NAMES)
        kubelet = self._authority.issue("kubelet-client", "kube-apiserver", _ADMINISTRATOR)
        self._signer = self._authority.signer("accounts")
        process = self._part(
            "kube-apiserver",
            f"--etcd-servers={store}",
            f"--etcd-cafile={authority}",
            f"--etcd-certfile={client.certificate}",
            f"--etcd-keyfile={client.key}",
            f"--bind-address={_LOOPBACK}",
            f"--advertise-address={_LOOPBACK}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._signer.certificate}",
            f"--service-account-signing-key-file={self._signer.key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--kubelet-client-certificate={kubelet.certificate}",
            f"--kubelet-client-key={kubelet.key}",
            f"--kubelet-certificate-authority={authority}",
            "--kubelet-preferred-address-types=InternalIP",
        )
        process.wait_until(lambda: self._answers(f"{self.url}/readyz", self._identities["admin"]))

    def _answers(self, url: str, identity: Pair) -> bool:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        context.load_cert_chain(identity.certificate, identity.key)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait_for_accounts(self) -> None:
        """Pods need their namespace's default account, which the controller manager makes."""
        client = self.client()

        def made() -> bool:
            try:
                client.get(ServiceAccount, "default", namespace="default")
            except ApiError as error:
                if error.status.code != 404:
                    raise
                return False
            return True

        try:
            self.processes["kube-controller-manager"].wait_until(made)
        finally:
            client.close()
