import pytest

from tinykube.scheduler.requirements import NodeTerm, PodTerm, Selector


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "In", "values": ["c"]}, False),
        ({"key": "zone", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "none", "operator": "NotIn", "values": ["c"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "gpus", "operator": "Gt", "values": ["3"]}, True),
        ({"key": "gpus", "operator": "Lt", "values": ["3"]}, False),
        ({"key": "gpus", "operator": "Gt", "values": ["many"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["3"]}, False),
    ],
)
def test_the_operators_of_a_node_term(expression, met):
    term = NodeTerm.read({"matchExpressions": [expression]})
    assert term.matches("node", {"zone": "a", "gpus": "4"}) is met


def test_a_node_term_that_says_nothing_is_never_met():
    assert not NodeTerm.read({}).matches("node", {})


def test_a_node_term_may_name_the_node():
    field = {"key": "metadata.name", "operator": "In", "values": ["node"]}
    term = NodeTerm.read({"matchFields": [field]})
    assert term.matches("node", {})
    assert not term.matches("other", {})
    assert term.names == {"node"}


def test_an_absent_selector_selects_nothing_and_an_empty_one_everything():
    assert not Selector.read(None).matches({"a": "b"})
    assert Selector.read({}).matches({"a": "b"})


def test_where_a_pod_term_looks(info):
    term = {"labelSelector": {}, "topologyKey": "zone"}
    spaces = {"default": {}, "other": {"team": "x"}}
    here, there = info(), info(namespace="other")
    own = PodTerm.read(term, "default", {})
    assert (own.selects(here, spaces), own.selects(there, spaces)) == (True, False)
    named = PodTerm.read({**term, "namespaces": ["other"]}, "default", {})
    assert (named.selects(here, spaces), named.selects(there, spaces)) == (False, True)
    chosen = {**term, "namespaceSelector": {"matchLabels": {"team": "x"}}}
    assert PodTerm.read(chosen, "default", {}).selects(there, spaces)
    everywhere = PodTerm.read({**term, "namespaceSelector": {}}, "default", {})
    assert everywhere.selects(here, spaces)


def test_keys_of_a_pods_own_labels_narrow_its_terms(info):
    term = {
        "labelSelector": {},
        "topologyKey": "zone",
        "matchLabelKeys": ["version"],
        "mismatchLabelKeys": ["tenant"],
    }
    read = PodTerm.read(term, "default", {"version": "2", "tenant": "a"})
    assert read.selects(info(labels={"version": "2", "tenant": "b"}), {})
    assert not read.selects(info(labels={"version": "1", "tenant": "b"}), {})
    assert not read.selects(info(labels={"version": "2", "tenant": "a"}), {})
