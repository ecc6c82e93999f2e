import pytest

from tinykube.scheduler.taints import Taint, Toleration, untolerated

GPU = Taint("gpu", "NoSchedule", "big")


@pytest.mark.parametrize(
    ("toleration", "covered"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "big"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "small"}, False),
        ({"key": "gpu"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_what_a_toleration_covers(toleration, covered):
    assert Toleration.read(toleration).tolerates(GPU) is covered


def test_only_the_effects_asked_for_count():
    taints = [GPU, Taint("slow", "PreferNoSchedule")]
    assert untolerated(taints, [], ["NoSchedule"]) == [GPU]
    assert untolerated(taints, [Toleration("gpu", "Exists")], ["NoSchedule"]) == []
