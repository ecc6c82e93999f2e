"""A definition that uses what definitions have, and its objects."""

from __future__ import annotations

from hypothesis import strategies as st

from .words import JSON


def widgets() -> st.SearchStrategy[JSON]:
    """Objects of the definition below."""
    spec = st.fixed_dictionaries(
        {},
        optional={
            "size": st.sampled_from([1, 5, 11, -1, 2.5]),
            "colour": st.sampled_from(["red", "blue", "none"]),
            "parts": st.lists(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["x", "y"])},
                    optional={"count": st.sampled_from([0, 7])},
                ),
                max_size=2,
            ),
            "free": st.sampled_from([{"any": ["thing"]}, {}]),
            "limit": st.sampled_from([3, 8]),
            "when": st.sampled_from(["2001-02-03T03:04:05Z", "yesterday"]),
            "port": st.sampled_from([80, "http", 1.5]),
            "replicas": st.sampled_from([0, 3, -1, "two"]),
            "unknown": st.just("pruned"),
        },
    )
    status = st.sampled_from(
        [
            {"ready": True},
            {"replicas": 2, "selector": "app=one"},
            {"replicas": -1},
            {"selector": 1},
        ]
    )
    # A real server keeps no defaults in what its Scale makes, and the next write that changes
    # nothing writes them: so there is always a spec.
    return st.fixed_dictionaries({"spec": spec}, optional={"status": status})


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.example.com"},
    "spec": {
        "group": "test.example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "widgets",
            "singular": "widget",
            "kind": "Widget",
            "shortNames": ["wi"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "!has(self.limit) || self.size <= self.limit",
                                        "message": "size is over the limit",
                                    }
                                ],
                                "properties": {
                                    "size": {
                                        "type": "integer",
                                        "minimum": 0,
                                        "maximum": 10,
                                        "default": 2,
                                    },
                                    "replicas": {"type": "integer"},
                                    "colour": {"type": "string", "enum": ["red", "blue"]},
                                    "limit": {"type": "integer"},
                                    "when": {"type": "string", "format": "date-time"},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "free": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                    },
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "count": {"type": "integer", "default": 1},
                                            },
                                        },
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "ready": {"type": "boolean"},
                                    "replicas": {"type": "integer"},
                                    "selector": {"type": "string"},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}
