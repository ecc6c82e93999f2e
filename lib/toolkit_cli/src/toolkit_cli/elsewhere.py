"""Steps in another cluster: its kubeconfig given to `pipelines`, and what is left there removed.

The kubeconfig goes into a secret of the model, granted to the application. A copy in a private
file lets `down` delete what the deployment has in that cluster.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import yaml

from toolkit_cli import tokens
from toolkit_cli.errors import ToolkitError
from toolkit_cli.substrate import Juju
from toolkit_jobs import Connection, ConnectionFileError

APPLICATION = "pipelines"
SECRET = "kubeconfig"  # noqa: S105 - the name of the secret
_SUFFIX = "kubeconfig"
_FILES = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key"),
}
_SELECTORS = (
    f"toolkit.canonical.com/pipelines={APPLICATION}",
    f"app.kubernetes.io/name={APPLICATION}",
)
_KINDS = (
    "/apis/batch/v1/namespaces/{}/jobs",
    "/api/v1/namespaces/{}/pods",
    "/api/v1/namespaces/{}/secrets",
)


def flatten(path: Path) -> str:
    """Give the current context of a kubeconfig as one that needs no other file.

    Raises:
        ToolkitError: it cannot be read, or its credentials are not in files.
    """
    try:
        data = yaml.safe_load(path.read_text())
        name = data["current-context"]
        context = _named(data["contexts"], name, "context")
        cluster = dict(_named(data["clusters"], context["cluster"], "cluster"))
        user = dict(_named(data["users"], context["user"], "user"))
        for kind, entry in (("cluster", cluster), ("user", user)):
            for key in _FILES[kind]:
                if key in entry:
                    content = (path.parent / str(entry.pop(key))).read_bytes()
                    entry.setdefault(f"{key}-data", base64.b64encode(content).decode())
        if "tokenFile" in user:
            user.setdefault("token", (path.parent / user.pop("tokenFile")).read_text().strip())
    except OSError as error:
        raise ToolkitError(f"{error.filename or path}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ToolkitError(f"{path}: not a usable kubeconfig: {error!r}") from error
    if not ("token" in user or {"client-certificate-data", "client-key-data"} <= user.keys()):
        raise ToolkitError(
            f"{path}: the user {context['user']!r} has neither a token nor a certificate; "
            "credential plugins are not run: put a token of a service account of that cluster "
            "into a kubeconfig"
        )
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": context}],
            "clusters": [{"name": context["cluster"], "cluster": cluster}],
            "users": [{"name": context["user"], "user": user}],
        }
    )


def _named(entries: list[dict[str, Any]], name: str, key: str) -> dict[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            found: dict[str, Any] = entry[key]
            return found
    raise KeyError(name)


def give(juju: Juju, model: str, content: str, address: str) -> str:
    """Let `pipelines` run its steps by this kubeconfig; the namespace that they will be in.

    Args:
        juju: the controller.
        model: the model's name.
        content: what `flatten` gave.
        address: where that cluster reaches `pipelines`; "" for its own address.

    Raises:
        ToolkitError: what the controller said.
    """
    known = {entry.get("name"): key for key, entry in juju.call("secrets", model=model).items()}
    given = {"kubeconfig": content}
    if SECRET in known:
        uri = f"secret:{known[SECRET]}"
        juju.call("update_secret", model=model, secret=SECRET, content=given)
    else:
        uri = juju.call("add_secret", model=model, name=SECRET, content=given)
    juju.call("grant_secret", model=model, secret=SECRET, applications=[APPLICATION])
    settings = {"artifact-transfer": "endpoint", "artifact-address": address, "kubeconfig": uri}
    juju.call("config_set", model=model, application=APPLICATION, settings=settings, reset=[])
    return Connection.from_kubeconfig(tokens.write(model, _SUFFIX, content)).namespace


def forget() -> Iterator[tuple[str, str]]:
    """Delete what deployments have in other clusters; give each cluster and how that went."""
    for file in sorted(tokens.folder().glob(f"*-{_SUFFIX}")):
        try:
            connection = Connection.from_kubeconfig(file)
            yield connection.url, f"{_clean(connection)} objects deleted"
        except (ConnectionFileError, httpx2.HTTPError) as error:
            # It may be away for good: that must not keep anyone from ending what is here.
            labels = " and of ".join(_SELECTORS)
            yield str(file), f"not cleaned up ({error}): pods and secrets of {labels} may be left"


def _clean(connection: Connection) -> int:
    count = 0
    with httpx2.Client(
        base_url=connection.url,
        verify=connection.tls(),
        headers=connection.headers(),
        trust_env=False,
        timeout=10,
    ) as client:
        for kind in _KINDS:
            path = kind.format(connection.namespace)
            for selector in _SELECTORS:
                listed = client.get(path, params={"labelSelector": selector})
                if listed.status_code == 404:
                    continue
                for item in listed.raise_for_status().json()["items"]:
                    gone = client.delete(
                        f"{path}/{item['metadata']['name']}",
                        params={"gracePeriodSeconds": "0", "propagationPolicy": "Background"},
                    )
                    if gone.status_code != 404:
                        gone.raise_for_status()
                        count += 1
    return count
