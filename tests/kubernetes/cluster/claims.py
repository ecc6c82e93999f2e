"""Devices of dynamic resource allocation, as a driver would publish them.

The driver itself is not there: nobody prepares a device on the node. The scheduler allocates
from the slices alone, and that is what is tested.
"""

from __future__ import annotations

import lightkube
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.resource_v1 import (
    CELDeviceSelector,
    Device,
    DeviceClassSpec,
    DeviceSelector,
    ResourcePool,
    ResourceSliceSpec,
)
from lightkube.resources.resource_v1 import DeviceClass, ResourceSlice

DRIVER = "gpu.example.com"


def publish(client: lightkube.Client, node: str, count: int) -> None:
    """A device class named as the driver, and `count` devices of it on `node`."""
    rule = CELDeviceSelector(expression=f'device.driver == "{DRIVER}"')
    client.create(
        DeviceClass(
            metadata=ObjectMeta(name=DRIVER),
            spec=DeviceClassSpec(selectors=[DeviceSelector(cel=rule)]),
        )
    )
    client.create(
        ResourceSlice(
            metadata=ObjectMeta(name=f"{node}-gpus"),
            spec=ResourceSliceSpec(
                driver=DRIVER,
                nodeName=node,
                pool=ResourcePool(name=node, generation=1, resourceSliceCount=1),
                devices=[Device(name=f"gpu-{number}") for number in range(count)],
            ),
        )
    )
