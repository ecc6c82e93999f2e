import asyncio
import json

import pytest

from tinykube import kinds
from tinykube.controllers.volumes import Binder
from tinykube.options import Deletion


@pytest.fixture
def binder(registry, tmp_path):
    made = Binder(registry, tmp_path / "volumes")
    made.load()
    return made


@pytest.fixture
def settle(binder):
    async def run():
        while True:
            binder._wake.clear()
            binder.step()
            if not binder._wake.is_set():
                break
        await asyncio.gather(*binder._removals)

    return run


def claim(name="data", size="1Gi", modes=("ReadWriteOnce",), **spec):
    wanted = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def volume(name="v", size="1Gi", path="/srv/v", **spec):
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "hostPath": {"path": path},
            **spec,
        },
    }


def events(store):
    return [json.loads(row.data)["message"] for row in store.rows(kinds.EVENTS.key)]


async def test_a_claim_gets_a_folder_of_its_own(create, settle, load, tmp_path):
    create(kinds.CLAIMS, claim())
    await settle()
    bound = load(kinds.CLAIMS, "data")
    assert bound["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }
    made = load(kinds.VOLUMES, bound["spec"]["volumeName"])
    assert made["status"]["phase"] == "Bound"
    folder = tmp_path / "volumes" / made["metadata"]["name"]
    assert made["spec"]["hostPath"]["path"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_its_folder_goes_with_it(create, settle, load, registry, tmp_path):
    create(kinds.CLAIMS, claim())
    await settle()
    (folder,) = (tmp_path / "volumes").iterdir()
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("x")
    registry.delete(kinds.CLAIMS, "default", "data", Deletion())
    await settle()
    assert load(kinds.CLAIMS, "data") is None
    assert list((tmp_path / "volumes").iterdir()) == []


async def test_a_claim_in_use_waits_for_its_pods(create, settle, load, registry, pod):
    create(kinds.CLAIMS, claim())
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    create(kinds.PODS, pod(volumes=volumes))
    registry.delete(kinds.CLAIMS, "default", "data", Deletion())
    await settle()
    assert load(kinds.CLAIMS, "data")["metadata"]["deletionTimestamp"]
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=0))
    await settle()
    assert load(kinds.CLAIMS, "data") is None


async def test_a_named_volume_that_reserves_itself(create, settle, load, tmp_path):
    reference = {"namespace": "default", "name": "data"}
    create(kinds.VOLUMES, volume(claimRef=reference))
    create(kinds.CLAIMS, claim(volumeName="v"))
    await settle()
    assert load(kinds.CLAIMS, "data")["status"]["phase"] == "Bound"
    assert load(kinds.VOLUMES, "v")["spec"]["claimRef"]["uid"]
    assert list((tmp_path / "volumes").iterdir()) == []


@pytest.mark.parametrize(
    ("made", "wanted", "message"),
    [
        (None, {}, 'volume "v" not found'),
        ({"size": "1Mi"}, {}, "requested 1Gi, the volume has 1Mi"),
        ({}, {"modes": ("ReadWriteMany",)}, "lacks the access mode ReadWriteMany"),
        (
            {"claimRef": {"namespace": "other", "name": "data"}},
            {},
            "already bound to a different claim",
        ),
        (
            {"claimRef": {"namespace": "default", "name": "data", "uid": "older"}},
            {},
            "already bound to a different claim",
        ),
    ],
)
async def test_a_named_volume_that_cannot_serve(
    create, settle, load, store, made, wanted, message
):
    if made is not None:
        create(kinds.VOLUMES, volume(**made))
    create(kinds.CLAIMS, claim(volumeName="v", **wanted))
    await settle()
    assert load(kinds.CLAIMS, "data")["status"]["phase"] == "Pending"
    assert any(message in text for text in events(store))


async def test_the_smallest_volume_of_the_class_is_taken(create, settle, load):
    create(kinds.VOLUMES, volume("large", "5Gi", storageClassName="fast"))
    create(kinds.VOLUMES, volume("small", "2Gi", storageClassName="fast"))
    create(kinds.VOLUMES, volume("plain", "1Gi"))
    create(kinds.CLAIMS, claim(storageClassName="fast"))
    await settle()
    assert load(kinds.CLAIMS, "data")["spec"]["volumeName"] == "small"
    assert load(kinds.VOLUMES, "plain")["status"]["phase"] == "Available"


@pytest.mark.parametrize(
    ("klass", "message"),
    [("gold", 'storageclass.storage.k8s.io "gold" not found'), ("", "no storage")],
)
async def test_no_volume_of_the_class(create, settle, load, store, klass, message):
    create(kinds.CLAIMS, claim(storageClassName=klass))
    await settle()
    assert load(kinds.CLAIMS, "data")["status"]["phase"] == "Pending"
    assert any(message in text for text in events(store))


@pytest.mark.parametrize("provisioner", ["tinykube/folder", "example.com/disks"])
async def test_a_class_of_ones_own(create, settle, load, store, provisioner):
    create(
        kinds.STORAGE_CLASSES,
        {"metadata": {"name": "kept"}, "provisioner": provisioner, "reclaimPolicy": "Retain"},
    )
    create(kinds.CLAIMS, claim(storageClassName="kept"))
    await settle()
    found = load(kinds.CLAIMS, "data")
    if provisioner == "example.com/disks":
        assert found["status"]["phase"] == "Pending"
        assert any("by the external provisioner 'example.com/disks'" in t for t in events(store))
        return
    volume = load(kinds.VOLUMES, found["spec"]["volumeName"])
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


async def test_another_default_class(create, settle, load, registry):
    def unmark(current):
        del current["metadata"]["annotations"]
        return True

    registry.modify(kinds.STORAGE_CLASSES, "", "standard", unmark)
    spec = claim()
    assert "storageClassName" not in create(kinds.CLAIMS, spec)["spec"]
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    create(
        kinds.STORAGE_CLASSES,
        {"metadata": {"name": "own", "annotations": annotations}, "provisioner": "x/y"},
    )
    spec["metadata"] = {"name": "second"}
    assert create(kinds.CLAIMS, spec)["spec"]["storageClassName"] == "own"


async def test_a_retained_volume_is_released_and_its_folder_kept(
    create, settle, load, registry, tmp_path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    create(kinds.VOLUMES, volume(path=str(folder), persistentVolumeReclaimPolicy="Delete"))
    create(kinds.CLAIMS, claim(volumeName="v"))
    await settle()
    registry.delete(kinds.CLAIMS, "default", "data", Deletion())
    await settle()
    # Whatever its policy says: the folder of a volume we did not make is not ours to delete.
    assert load(kinds.VOLUMES, "v")["status"]["phase"] == "Released"
    assert folder.is_dir()


async def test_a_volume_in_use_is_not_deleted(create, settle, load, registry):
    create(kinds.VOLUMES, volume())
    create(kinds.CLAIMS, claim(volumeName="v"))
    await settle()
    registry.delete(kinds.VOLUMES, "", "v", Deletion())
    await settle()
    assert load(kinds.VOLUMES, "v")["metadata"]["deletionTimestamp"]
    registry.delete(kinds.CLAIMS, "default", "data", Deletion())
    await settle()
    assert load(kinds.VOLUMES, "v") is None


async def test_a_claim_whose_volume_vanished_is_lost(create, settle, load, registry):
    create(kinds.VOLUMES, volume())
    create(kinds.CLAIMS, claim(volumeName="v"))
    await settle()
    registry.remove_finalizer(
        kinds.VOLUMES, load(kinds.VOLUMES, "v"), "kubernetes.io/pv-protection"
    )
    registry.delete(kinds.VOLUMES, "", "v", Deletion())
    await settle()
    assert load(kinds.CLAIMS, "data")["status"]["phase"] == "Lost"


async def test_left_over_folders_are_swept_at_the_start(settle, binder, tmp_path):
    (tmp_path / "volumes" / "pvc-old").mkdir()
    (tmp_path / "volumes" / ".deleted-pvc-older").mkdir()
    binder.load()
    await settle()
    assert list((tmp_path / "volumes").iterdir()) == []


async def test_the_claim_of_a_pods_own_volume_stays_while_the_pod_runs(
    create, settle, load, registry
):
    spec = claim()["spec"]
    create(
        kinds.PODS,
        {
            "metadata": {"name": "p"},
            "spec": {
                "containers": [{"name": "c", "image": "busybox"}],
                "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}],
            },
        },
    )
    create(kinds.CLAIMS, claim("p-v"))
    await settle()
    registry.delete(kinds.CLAIMS, "default", "p-v", Deletion())
    await settle()
    assert load(kinds.CLAIMS, "p-v")["metadata"]["deletionTimestamp"]
    registry.delete(kinds.PODS, "default", "p", Deletion(grace=0))
    await settle()
    assert load(kinds.CLAIMS, "p-v") is None
