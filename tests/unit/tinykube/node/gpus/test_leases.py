import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinykube.node.gpus.leases import Leases, ShortageError
from tinykube.node.gpus.plan import MEMORY, WHOLE, Device

GPUS = tuple(Device(f"GPU-{number}", WHOLE, 1, (), f"GPU-{number}") for number in range(3))


def container(name, amount, resource=WHOLE, initialises=False):
    limits = {resource: str(amount)} if amount else {}
    return {"name": name, "resources": {"limits": limits}, "initialises": initialises}


def held(leases, uid, name="main"):
    return [lease.device for lease in leases.of(uid, name)]


def test_each_container_has_its_own(tmp_path):
    leases = Leases(tmp_path)
    leases.take("a", [container("main", 1), container("other", 1), container("none", 0)], GPUS)
    assert (held(leases, "a"), held(leases, "a", "other")) == (["GPU-0"], ["GPU-1"])
    assert held(leases, "a", "none") == []
    leases.take("b", [container("main", 1)], GPUS)
    assert held(leases, "b") == ["GPU-2"]


def test_what_is_not_there_is_told_and_nothing_taken(tmp_path):
    leases = Leases(tmp_path)
    leases.take("a", [container("main", 2)], GPUS)
    with pytest.raises(ShortageError, match=r"Requested: 2, Available: 1, which is unexpected"):
        leases.take("b", [container("main", 2)], GPUS)
    assert held(leases, "b") == []
    assert not (tmp_path / "b").exists()


def test_a_new_one_knows_what_is_held(tmp_path):
    Leases(tmp_path).take("a", [container("main", 2)], GPUS)
    again = Leases(tmp_path)
    assert held(again, "a") == ["GPU-0", "GPU-1"]
    # Taken up again, it keeps what it has, whatever is offered now.
    again.take("a", [container("main", 2)], GPUS[2:])
    assert held(again, "a") == ["GPU-0", "GPU-1"]
    again.release("a")
    again.release("a")
    assert held(Leases(tmp_path), "a") == []


def test_what_initialises_uses_what_the_others_get_later(tmp_path):
    leases = Leases(tmp_path)
    first = container("first", 2, initialises=True)
    leases.take("a", [container("main", 1), first], GPUS)
    assert held(leases, "a") == ["GPU-0"]
    assert held(leases, "a", "first") == ["GPU-0", "GPU-1"]
    leases.take("b", [container("main", 1)], GPUS)
    assert held(leases, "b") == ["GPU-2"]


def test_memory_is_booked_on_one_gpu(tmp_path):
    cards = tuple(Device(f"GPU-{n}", MEMORY, 100, (), f"GPU-{n}", split=True) for n in range(2))
    leases = Leases(tmp_path)
    for uid, amount, expected in (("a", 60, "GPU-0"), ("b", 30, "GPU-0"), ("c", 30, "GPU-1")):
        leases.take(uid, [container("main", amount, MEMORY)], cards)
        assert held(leases, uid) == [expected]
    with pytest.raises(ShortageError, match="Requested: 80, Available: 70"):
        leases.take("d", [container("main", 80, MEMORY)], cards)


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_nothing_is_held_twice(tmp_path_factory, steps):
    leases = Leases(tmp_path_factory.mktemp("pods"))
    model = {}
    for number, amount in steps:
        uid = str(number)
        if uid in model:
            leases.release(uid)
            del model[uid]
            continue
        free = len(GPUS) - sum(model.values())
        if amount > free:
            with pytest.raises(ShortageError):
                leases.take(uid, [container("main", amount)], GPUS)
        else:
            leases.take(uid, [container("main", amount)], GPUS)
            model[uid] = amount
        taken = [device for key in model for device in held(leases, key)]
        assert len(taken) == len(set(taken)) == sum(model.values())
