"""The claim behind a unit's storage."""

import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta, Status
from lightkube.resources.core_v1 import PersistentVolumeClaim

from toolkit_charm import Blocked, Waiting
from toolkit_charm.storage import claim_name


class Cluster:
    """Answers a list of claims as the API would."""

    def __init__(self, *names, code=None):
        self.names = names
        self.code = code
        self.asked = None

    def list(self, resource, *, namespace, labels):
        assert resource is PersistentVolumeClaim
        self.asked = (namespace, labels)
        if self.code is not None:
            error = ApiError.__new__(ApiError)
            error.status = Status(code=self.code)
            raise error
        return iter(PersistentVolumeClaim(metadata=ObjectMeta(name=name)) for name in self.names)


def find(cluster, unit="pipelines/0", storage="pipeline-root"):
    return claim_name(cluster, model="ml", unit=unit, storage=storage)


def test_the_units_own_claim_is_found_by_labels_and_number():
    cluster = Cluster(
        "pipelines-pipeline-root-0a1b2c3d-pipelines-10",
        "pipelines-pipeline-root-0a1b2c3d-pipelines-0",
        "pipelines-pipeline-root-0a1b2c3d-pipelines-1",
    )
    assert find(cluster) == "pipelines-pipeline-root-0a1b2c3d-pipelines-0"
    assert find(cluster, "pipelines/10") == "pipelines-pipeline-root-0a1b2c3d-pipelines-10"
    assert cluster.asked == (
        "ml",
        {"app.kubernetes.io/name": "pipelines", "storage.juju.is/name": "pipeline-root"},
    )


def test_a_claim_that_is_not_there_yet_is_waited_for():
    with pytest.raises(Waiting, match="no claim"):
        find(Cluster())
    with pytest.raises(Waiting, match="no claim"):
        find(Cluster("pipelines-pipeline-root-0a1b2c3d-pipelines-1"))


def test_two_claims_are_no_claim():
    with pytest.raises(Waiting, match="several claims"):
        find(Cluster("a-pipelines-0", "b-pipelines-0"))


@pytest.mark.parametrize("code", [401, 403])
def test_not_trusted_is_blocked_with_the_line_to_type(code):
    with pytest.raises(Blocked, match="juju trust pipelines --scope=cluster"):
        find(Cluster(code=code))


def test_any_other_refusal_is_an_error():
    with pytest.raises(ApiError):
        find(Cluster(code=500))
