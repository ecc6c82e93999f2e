"""What is answered on the spot and never stored: reviews of who asks and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Review:
    """One kind of review; all are of version `v1` and can be created, nothing else."""

    group: str
    plural: str
    kind: str
    namespaced: bool = False

    @property
    def api_version(self) -> str:
        """What its objects have as apiVersion."""
        return f"{self.group}/v1"


TOKENS = Review(AUTHENTICATION, "tokenreviews", "TokenReview")
SELF = Review(AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview")
ACCESS = Review(AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview")
LOCAL_ACCESS = Review(
    AUTHORIZATION, "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True
)
SELF_ACCESS = Review(AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview")
SELF_RULES = Review(AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview")
ALL = (TOKENS, SELF, ACCESS, LOCAL_ACCESS, SELF_ACCESS, SELF_RULES)


def find(group: str, version: str, plural: str) -> Review | None:
    """The review that is served at a path; None if none is."""
    if version != "v1":
        return None
    return next((item for item in ALL if (item.group, item.plural) == (group, plural)), None)
