"""The kinds of `storage.k8s.io`."""

from __future__ import annotations

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.schema import Many, Refused, Table

STORAGE_CLASSES = Resource(
    "storage.k8s.io",
    "v1",
    "storageclasses",
    "StorageClass",
    namespaced=False,
    short=("sc",),
    returns=True,
    shape=schema.kind(
        {
            "provisioner": "str",
            "parameters": Table("str"),
            "reclaimPolicy": "str",
            "mountOptions": Many("str"),
            "allowVolumeExpansion": "bool",
            "volumeBindingMode": "str",
            "allowedTopologies": Refused("volumes are folders of this machine"),
        },
        optional=("reclaimPolicy", "allowVolumeExpansion", "volumeBindingMode"),
        always=("provisioner",),
    ),
)
