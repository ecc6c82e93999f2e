"""Services and what stands behind them: the core group's, and `discovery.k8s.io`."""

from __future__ import annotations

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.kinds.shapes import CONDITIONS, OBJECT_REFERENCE
from tinykube.schema import Fields, Many, Refused, Shape, Table

_OUTSIDE = "services are not reached from outside of this machine"
SERVICES = Resource(
    "",
    "v1",
    "services",
    "Service",
    namespaced=True,
    upserts=True,
    short=("svc",),
    categories=("all",),
    status=True,
    returns=True,
    selectable=("spec.clusterIP", "spec.type"),
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "type": "str",
                    "selector": Table("str", atomic=True),
                    "ports": Many(
                        Fields(
                            {
                                "name": "str",
                                "protocol": "str",
                                "appProtocol": "str",
                                "port": "int",
                                "targetPort": "int-or-str",
                                "nodePort": Refused(_OUTSIDE, (0,)),
                            },
                            optional=("appProtocol",),
                            always=("port",),
                        ),
                        key="port",
                        keys=(("port", None), ("protocol", "TCP")),
                    ),
                    "clusterIP": "str",
                    "clusterIPs": Many("str"),
                    "externalName": "str",
                    "publishNotReadyAddresses": "bool",
                    "sessionAffinity": "str",
                    "sessionAffinityConfig": Refused("connections are balanced in turn"),
                    "ipFamilies": Many("str"),
                    "ipFamilyPolicy": "str",
                    "internalTrafficPolicy": "str",
                    "trafficDistribution": "str",
                    "externalIPs": Refused(_OUTSIDE),
                    "externalTrafficPolicy": Refused(_OUTSIDE),
                    "healthCheckNodePort": Refused(_OUTSIDE, (0,)),
                    "loadBalancerIP": Refused(_OUTSIDE),
                    "loadBalancerClass": Refused(_OUTSIDE),
                    "loadBalancerSourceRanges": Refused(_OUTSIDE),
                    "allocateLoadBalancerNodePorts": Refused(_OUTSIDE, (False,)),
                },
                optional=("ipFamilyPolicy", "internalTrafficPolicy", "trafficDistribution"),
            ),
            "status": Fields({"loadBalancer": "any", "conditions": CONDITIONS}),
        },
        always=("spec", "status"),
    ),
)
_ADDRESSES = Many(
    Fields(
        {"ip": "str", "hostname": "str", "nodeName": "str", "targetRef": OBJECT_REFERENCE},
        optional=("nodeName",),
        always=("ip",),
    ),
)
_PORT: dict[str, Shape] = {"name": "str", "port": "int", "protocol": "str", "appProtocol": "str"}
ENDPOINTS = Resource(
    "",
    "v1",
    "endpoints",
    "Endpoints",
    namespaced=True,
    upserts=True,
    short=("ep",),
    shape=schema.kind(
        {
            "subsets": Many(
                Fields(
                    {
                        "addresses": _ADDRESSES,
                        "notReadyAddresses": _ADDRESSES,
                        "ports": Many(Fields(_PORT, optional=("appProtocol",), always=("port",))),
                    }
                )
            )
        }
    ),
)
SLICES = Resource(
    "discovery.k8s.io",
    "v1",
    "endpointslices",
    "EndpointSlice",
    namespaced=True,
    generation=True,
    shape=schema.kind(
        {
            "addressType": "str",
            "endpoints": Many(
                Fields(
                    {
                        "addresses": Many("str", key="*"),
                        "conditions": Fields(
                            {"ready": "bool", "serving": "bool", "terminating": "bool"},
                            optional=("ready", "serving", "terminating"),
                        ),
                        "hostname": "str",
                        "targetRef": OBJECT_REFERENCE,
                        "deprecatedTopology": Table("str"),
                        "nodeName": "str",
                        "zone": "str",
                        "hints": "any",
                    },
                    optional=("hostname", "nodeName", "zone"),
                    always=("conditions",),
                )
            ),
            "ports": Many(
                Fields(
                    _PORT,
                    optional=("name", "port", "protocol", "appProtocol"),
                )
            ),
        },
        always=("addressType",),
    ),
)
