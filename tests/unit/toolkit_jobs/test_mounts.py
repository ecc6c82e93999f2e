"""Volumes of every kind that a pod may have."""

from __future__ import annotations

from toolkit_jobs import ClaimMount, ConfigMapMount, EmptyMount, EphemeralMount, SecretMount
from toolkit_jobs.mounts import volumes


def test_a_claim_is_one_volume_however_often_it_is_mounted() -> None:
    found, placed = volumes([ClaimMount("/a", "c", "x"), ClaimMount("/b", "c", "y")])
    assert found == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "c"}}]
    assert [each["subPath"] for each in placed] == ["x", "y"]


def test_files_of_secrets_and_config_maps() -> None:
    found, placed = volumes([SecretMount("/s", "s", True), ConfigMapMount("/c", "c")])
    assert found == [
        {"name": "volume-0", "secret": {"secretName": "s", "optional": True}},
        {"name": "volume-1", "configMap": {"name": "c", "optional": False}},
    ]
    assert [each["mountPath"] for each in placed] == ["/s", "/c"]


def test_empty_and_ephemeral_volumes() -> None:
    made = EphemeralMount("/e", "5Gi", ("ReadWriteOnce",), "fast", {"l": "1"}, {"a": "2"})
    plain = EphemeralMount("/p", "1Gi", ("ReadWriteOnce",))
    found, _ = volumes([EmptyMount("/m", "Memory", "1Gi"), made, plain])
    assert found[0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert found[1]["ephemeral"]["volumeClaimTemplate"] == {
        "metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
            "storageClassName": "fast",
        },
    }
    assert "storageClassName" not in found[2]["ephemeral"]["volumeClaimTemplate"]["spec"]
