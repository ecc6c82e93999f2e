from hypothesis import given
from hypothesis import strategies as st

from tinykube.fieldsets import tree

PATHS = st.sets(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', "v:2"]), min_size=1, max_size=3).map(
        tuple
    )
)


def test_the_form_is_that_of_fields_v1():
    assert tree.of([("f:a",), ("f:a", "f:b"), ("f:c", "f:d")]) == {
        "f:a": {".": {}, "f:b": {}},
        "f:c": {"f:d": {}},
    }
    assert tree.of([("f:a", "f:b"), ("f:a",)]) == tree.of([("f:a",), ("f:a", "f:b")])


@given(PATHS)
def test_a_set_gives_back_what_was_put_in(paths):
    made = tree.of(paths)
    assert set(tree.paths(made)) == paths
    assert all(tree.has(made, path) for path in paths)
    assert not tree.has(made, ("f:z",))


@given(PATHS, PATHS)
def test_what_is_taken_out_is_gone_and_nothing_else(paths, taken):
    made = tree.of(paths)
    for path in taken:
        assert tree.drop(made, path) is (path in paths)
    assert set(tree.paths(made)) == paths - taken
    assert made == tree.of(paths - taken)


@given(PATHS, st.sampled_from([("f:a",), ("f:a", "f:b"), ("v:2", "f:a", "f:b")]))
def test_pruning_takes_all_below(paths, at):
    made = tree.of(paths)
    tree.prune(made, at)
    assert set(tree.paths(made)) == {path for path in paths if path[: len(at)] != at}


def test_malformed_sets_are_read_as_far_as_they_go():
    assert list(tree.paths({"f:a": 7, "f:b": {}})) == [("f:b",)]
    assert list(tree.paths(None)) == []


def test_paths_as_conflicts_show_them():
    path = ("f:spec", "f:containers", 'k:{"name":"x"}', "f:image")
    assert tree.spell(path) == '.spec.containers[name="x"].image'
    assert tree.spell(("f:metadata", "f:finalizers", 'v:"a.b/c"')) == (
        '.metadata.finalizers[="a.b/c"]'
    )
