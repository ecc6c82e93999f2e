"""What is refused by name instead of not being there: it would be ignored in silence otherwise."""

from __future__ import annotations

from collections.abc import Mapping

_ADMISSION = "admissionregistration.k8s.io"
_WEBHOOK = (
    "tinykube calls no admission webhooks: objects would be admitted unseen; put the rules into "
    "the custom resource definition (x-kubernetes-validations), or run on a cluster"
)
_POLICY = (
    "tinykube evaluates no admission policies: objects would be admitted unseen; put the rules "
    "into the custom resource definition (x-kubernetes-validations), or run on a cluster"
)
_REFUSED: Mapping[tuple[str, str], str] = {
    (_ADMISSION, "mutatingwebhookconfigurations"): _WEBHOOK,
    (_ADMISSION, "validatingwebhookconfigurations"): _WEBHOOK,
    (_ADMISSION, "validatingadmissionpolicies"): _POLICY,
    (_ADMISSION, "validatingadmissionpolicybindings"): _POLICY,
    (_ADMISSION, "mutatingadmissionpolicies"): _POLICY,
    (_ADMISSION, "mutatingadmissionpolicybindings"): _POLICY,
    (
        "apiregistration.k8s.io",
        "apiservices",
    ): "tinykube passes no requests on to other API servers; define a custom resource instead",
}


def refusal(group: str, plural: str) -> str:
    """Why objects of a resource cannot be made here; empty if there is no such resource."""
    return _REFUSED.get((group, plural), "")
