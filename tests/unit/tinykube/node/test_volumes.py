from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.images import ImageStore
from sandbox.spec import Image, Mount, Scratch
from tinykube.node import sources, volumes
from tinykube.node.client import JSON, NotFoundError
from tinykube.node.env import Host
from tinykube.node.images import ImageMap
from tinykube.node.volumes import VolumeError, Volumes


class Api:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], JSON] = {}
        self.tokens: list[tuple[str, Sequence[str], int]] = []

    async def get(self, kind: str, namespace: str | None, name: str) -> JSON:
        try:
            return self.objects[kind, name]
        except KeyError:
            raise NotFoundError(f'{kind.lower()}s "{name}" not found') from None

    async def token(
        self, namespace: str, account: str, pod: JSON, audiences: Sequence[str], seconds: int
    ) -> str:
        self.tokens.append((account, audiences, seconds))
        return f"token-{len(self.tokens)}"


@pytest.fixture
def api() -> Api:
    made = Api()
    made.objects["Secret", "s"] = {"data": {"a": base64.b64encode(b"A\0").decode(), "b": ""}}
    made.objects["ConfigMap", "c"] = {"data": {"x": "1"}, "binaryData": {"y": "Mg=="}}
    return made


def make(tmp_path: Path, api: Api, *items: JSON) -> Volumes:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"k": "v"}},
        "spec": {
            "volumes": list(items),
            "containers": [{"name": "m"}],
            "serviceAccountName": "sa",
        },
    }
    table = ImageMap(tmp_path / "none.yaml", ImageStore(tmp_path / "store"))
    folder = tmp_path / "pod"
    folder.mkdir(exist_ok=True)
    return Volumes(pod, folder, api, table, Host("n", "127.0.0.1", {}))  # type: ignore[arg-type]


def mounts(made: Volumes, *items: JSON) -> list[Any]:
    return made.mounts({"volumeMounts": list(items)}, {})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))


async def test_empty_dir(tmp_path: Path, api: Api) -> None:
    made = make(tmp_path, api, {"name": "v", "emptyDir": {"medium": "Memory"}})
    await made.prepare()

    (mount,) = mounts(made, {"name": "v", "mountPath": "/data"})
    assert (mount.target, mount.read_only) == ("/data", False)
    assert mount.source.stat().st_mode & 0o7777 == 0o1777
    (mount.source / "kept").touch()
    again = make(tmp_path, api, {"name": "v", "emptyDir": {}})
    await again.prepare()
    assert (mount.source / "kept").exists()


async def test_secret_and_config_map(tmp_path: Path, api: Api) -> None:
    made = make(
        tmp_path,
        api,
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {
            "name": "c",
            "configMap": {
                "name": "c",
                "items": [{"key": "x", "path": "deep/er/x", "mode": 0o600}],
            },
        },
    )
    await made.prepare()

    secret, config = mounts(
        made, {"name": "s", "mountPath": "/s"}, {"name": "c", "mountPath": "/c"}
    )
    assert secret.read_only
    assert (secret.source / "a").read_bytes() == b"A\0"
    assert (secret.source / "a").stat().st_mode & 0o777 == 0o400
    assert names(secret.source) == ["a", "b"]
    assert (config.source / "deep/er/x").read_text() == "1"
    assert (config.source / "deep/er/x").stat().st_mode & 0o777 == 0o600
    assert not (config.source / "y").exists()


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"secret": {"secretName": "none"}}, 'for volume "v" : secrets "none" not found'),
        ({"configMap": {"name": "none"}}, 'configmaps "none" not found'),
        ({"configMap": {"name": "c", "items": [{"key": "k", "path": "k"}]}}, "has no key k"),
        ({"configMap": {"name": "c", "items": [{"key": "x", "path": "../k"}]}}, "is not a path"),
        ({"persistentVolumeClaim": {"claimName": "none"}}, "not found"),
        ({"image": {"reference": "nginx"}}, 'image "nginx" is not on this machine'),
        ({"image": {"reference": "busybox"}}, "busybox is not a process image"),
        ({"nfs": {}}, "no volumes of kind nfs"),
    ],
)
async def test_what_is_missing_is_named(
    tmp_path: Path, api: Api, volume: JSON, message: str
) -> None:
    with pytest.raises(VolumeError, match=message):
        await make(tmp_path, api, {"name": "v", **volume}).prepare()


async def test_a_volume_cannot_be_named_out_of_its_folder(tmp_path: Path, api: Api) -> None:
    with pytest.raises(VolumeError, match="lower case alphanumeric"):
        await make(tmp_path, api, {"name": "../v", "emptyDir": {}}).prepare()


async def test_optional_ones_may_be_missing(tmp_path: Path, api: Api) -> None:
    made = make(
        tmp_path,
        api,
        {"name": "s", "secret": {"secretName": "none", "optional": True}},
        {"name": "c", "configMap": {"name": "none", "optional": True}},
    )
    await made.prepare()

    assert names(mounts(made, {"name": "s", "mountPath": "/s"})[0].source) == []


async def test_a_volume_of_the_pods_own(tmp_path: Path, api: Api) -> None:
    (tmp_path / "disk").mkdir()
    claim: JSON = {
        "metadata": {"name": "p-v"},
        "spec": {"volumeName": "pv"},
        "status": {"phase": "Bound"},
    }
    api.objects["PersistentVolumeClaim", "p-v"] = claim
    api.objects["PersistentVolume", "pv"] = {
        "spec": {"hostPath": {"path": str(tmp_path / "disk")}}
    }
    made = make(tmp_path, api, {"name": "v", "ephemeral": {}})
    with pytest.raises(VolumeError, match='"p-v" was not made for this pod'):
        await made.prepare()
    claim["metadata"]["ownerReferences"] = [{"uid": "u", "controller": True}]
    await made.prepare()
    (whole,) = mounts(made, {"name": "v", "mountPath": "/d"})
    assert (whole.source, whole.read_only) == (tmp_path / "disk", False)


async def test_a_claim(tmp_path: Path, api: Api) -> None:
    (tmp_path / "disk").mkdir()
    claim: JSON = {"spec": {}, "status": {"phase": "Pending"}}
    api.objects["PersistentVolumeClaim", "data"] = claim
    api.objects["PersistentVolume", "pv"] = {
        "spec": {"hostPath": {"path": str(tmp_path / "disk")}}
    }
    made = make(tmp_path, api, {"name": "v", "persistentVolumeClaim": {"claimName": "data"}})
    with pytest.raises(VolumeError, match="is not bound"):
        await made.prepare()

    claim |= {"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    await made.prepare()

    whole, part = mounts(
        made,
        {"name": "v", "mountPath": "/d"},
        {"name": "v", "mountPath": "/d/run", "subPath": "runs/1", "readOnly": True},
    )
    assert whole == Mount(tmp_path / "disk", "/d")
    assert part == Mount(tmp_path / "disk/runs/1", "/d/run", read_only=True)
    assert part.source.is_dir()


@pytest.mark.parametrize("sub", ["../x", "a/../../x", "/etc", "a\0b", "link", "link/x", "a/link"])
def test_a_sub_path_stays_in_its_volume(tmp_path: Path, sub: str) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    (volume / "a").mkdir(parents=True)
    outside.mkdir()
    (volume / "link").symlink_to(outside)
    (volume / "a/link").symlink_to("../../outside")

    with pytest.raises(VolumeError, match="subPath"):
        volumes.confined(volume, sub, create=True)

    assert names(outside) == []


def test_links_inside_the_volume_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert volumes.confined(tmp_path, "link/x", create=True) == tmp_path / "real/x"
    with pytest.raises(VolumeError, match="does not exist"):
        volumes.confined(tmp_path, "none", create=False)


async def test_projected_tokens_are_renewed(
    tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: dict[str, Any] = {
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000, "audience": "x"}},
            {"configMap": {"name": "c", "items": [{"key": "x", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
                        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                    ]
                }
            },
        ]
    }
    made = make(tmp_path, api, {"name": "v", "projected": source})
    await made.prepare()

    (mount,) = mounts(made, {"name": "v", "mountPath": "/var/run/secrets"})
    content = {name: (mount.source / name).read_text() for name in names(mount.source)}
    assert content == {"token": "token-1", "ca.crt": "1", "namespace": "ns", "labels": 'k="v"'}
    assert api.tokens == [("sa", ["x"], 1000)]
    assert made.renew_at == pytest.approx(time.time() + 800, abs=60)

    await made.refresh(made.pod)
    assert (mount.source / "token").read_text() == "token-1"
    monkeypatch.setattr(sources.time, "time", lambda: made.renew_at)
    await made.refresh(made.pod)

    assert (mount.source / "token").read_text() == "token-2"
    assert names(mount.source) == sorted(content)


async def test_what_changes_reaches_the_volume(tmp_path: Path, api: Api) -> None:
    fields = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    made = make(
        tmp_path,
        api,
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "d", "downwardAPI": fields},
    )
    await made.prepare()
    secret, downward = mounts(
        made, {"name": "s", "mountPath": "/s"}, {"name": "d", "mountPath": "/d"}
    )
    api.objects["Secret", "s"] = {"data": {"a": "bmV3", "c": ""}}
    pod = {**made.pod, "metadata": {**made.pod["metadata"], "labels": {"k": "w"}}}

    await made.refresh(pod)

    assert names(secret.source) == ["a", "c"]
    assert (secret.source / "a").read_bytes() == b"new"
    assert (downward.source / "labels").read_text() == 'k="w"'

    del api.objects["Secret", "s"]
    with pytest.raises(VolumeError, match='"s" not found'):
        await made.refresh(pod)
    assert (secret.source / "a").read_bytes() == b"new"


def container(*items: JSON, **limits: str) -> JSON:
    return {"name": "main", "volumeMounts": list(items), "resources": {"limits": limits}}


@pytest.mark.parametrize(
    ("source", "limits", "size"),
    [
        ({"medium": "Memory", "sizeLimit": "1Mi"}, {"memory": "2Mi"}, 1 << 20),
        ({"medium": "Memory"}, {"memory": "2Mi"}, 2 << 20),
        ({"medium": "Memory"}, {}, None),
    ],
)
async def test_an_empty_dir_in_memory(
    tmp_path: Path, api: Api, source: JSON, limits: dict[str, str], size: int | None
) -> None:
    made = make(tmp_path, api, {"name": "v", "emptyDir": source})
    main = container({"name": "v", "mountPath": "/dev/shm"}, **limits)
    made.pod["spec"]["containers"] = [main]
    await made.prepare()

    assert made.mounts(main, {}) == [Scratch("/dev/shm", size)]


async def test_one_that_is_shared_is_on_the_disk(tmp_path: Path, api: Api) -> None:
    made = make(tmp_path, api, {"name": "v", "emptyDir": {"medium": "Memory"}})
    main = container({"name": "v", "mountPath": "/a"})
    made.pod["spec"] |= {"containers": [main], "initContainers": [{**main, "name": "i"}]}
    await made.prepare()

    (mount,) = made.mounts(main, {})
    assert isinstance(mount, Mount)


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        ("", "new", True),
        ("DirectoryOrCreate", "new", True),
        ("Directory", "folder", True),
        ("Directory", "new", False),
        ("File", "folder", False),
        ("FileOrCreate", "new", True),
    ],
)
async def test_host_paths(tmp_path: Path, api: Api, kind: str, name: str, good: bool) -> None:
    (tmp_path / "folder").mkdir()
    made = make(
        tmp_path, api, {"name": "v", "hostPath": {"path": f"{tmp_path}/{name}", "type": kind}}
    )

    if good:
        await made.prepare()
        assert mounts(made, {"name": "v", "mountPath": "/d"})[0].source.exists()
    else:
        with pytest.raises(VolumeError, match="hostPath type check failed"):
            await made.prepare()


async def test_only_folders_that_are_lent(tmp_path: Path, api: Api) -> None:
    lent = tmp_path / "lent"
    (lent / "in").mkdir(parents=True)
    (lent / "out").symlink_to("/etc")
    for place, good in ((lent / "in", True), (lent / "out", False), (tmp_path, False)):
        made = make(tmp_path, api, {"name": "v", "hostPath": {"path": str(place)}})
        made.host = Host("n", "127.0.0.1", {}, (lent,))
        if good:
            await made.prepare()
        else:
            with pytest.raises(VolumeError, match="in none of the folders that node n lends"):
                await made.prepare()


def test_an_image_volume_is_at_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "share/x").mkdir(parents=True)
    image = Image("process.local/x", tmp_path, prefix="/opt/venv")

    whole = volumes._image_mounts(image, "/toolkit", "")
    above = volumes._image_mounts(image, "/toolkit", "opt")
    below = volumes._image_mounts(image, "/toolkit", "opt/venv/share/x")

    assert whole == [Mount(tmp_path, "/toolkit/opt/venv", read_only=True)]
    assert above == [Mount(tmp_path, "/toolkit/venv", read_only=True)]
    assert below == [Mount(tmp_path / "share/x", "/toolkit", read_only=True)]
    for sub in ("usr", "opt/venvx", "opt/venv/none"):
        with pytest.raises(VolumeError):
            volumes._image_mounts(image, "/toolkit", sub)


async def test_inner_mounts_come_after_outer_ones(tmp_path: Path, api: Api) -> None:
    made = make(tmp_path, api, {"name": "v", "emptyDir": {}})
    await made.prepare()

    found = mounts(made, *({"name": "v", "mountPath": p} for p in ("/a/b/c", "/a//b", "/a")))

    assert [mount.target for mount in found] == ["/a", "/a//b", "/a/b/c"]
