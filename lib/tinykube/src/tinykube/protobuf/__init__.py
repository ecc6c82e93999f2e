"""Requests in Kubernetes' protobuf, as `kubectl create` and Go's typed clients send them.

The contract is https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding:
four bytes of magic, then an envelope with apiVersion, kind and the object. `fields.json` has the
numbers of the fields, which never change; `tests/kubernetes` holds it against Kubernetes' own
types. Answers are JSON, which those clients accept.
"""

from tinykube.protobuf.objects import decode
from tinykube.protobuf.wire import WireError

__all__ = ["WireError", "decode"]
