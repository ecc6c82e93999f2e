import pytest

from tinykube.crd.expressions import EvaluationError, Expressions, convert, escape
from tinykube.crd.rules import RuleSet
from tinykube.crd.structural import UNSET, build


def evaluate(text, value, schema=None, old=None, known=False, optional=False):
    node = build(schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    program = Expressions.of(node, root=False).program(text, optional=optional)
    return program.evaluate(convert(value, node), old, known=known)


INTEGERS = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("text", "value", "schema"),
    [
        ("self.isSorted()", [1, 2, 3], INTEGERS),
        ("self.sum() == 6 && self.min() == 1 && self.max() == 3", [1, 2, 3], INTEGERS),
        ("self.find('[0-9]+') == '12'", "a12b3", {"type": "string"}),
        ("self.findAll('[0-9]+') == ['12', '3']", "a12b3", {"type": "string"}),
        ("isURL(self)", "https://example.com/", {"type": "string"}),
        ("isQuantity(self) && !isQuantity('x')", "5Gi", {"type": "string"}),
        ("isIP(self) && !isIP('x')", "10.0.0.1", {"type": "string"}),
        ("self.lowerAscii().split('-').size() == 2", "A-B", {"type": "string"}),
        (
            "self > timestamp('2020-01-01T00:00:00Z')",
            "2021-01-01T00:00:00Z",
            {"type": "string", "format": "date-time"},
        ),
        ("self == duration('90s')", "1m30s", {"type": "string", "format": "duration"}),
        ("self == b'hi'", "aGk=", {"type": "string", "format": "byte"}),
        ("self > 1.5", 2, {"type": "number"}),
    ],
)
def test_the_library_of_functions(text, value, schema):
    assert evaluate(text, value, schema) is True


def test_names_that_rules_spell_otherwise():
    assert escape("namespace") == "__namespace__"
    assert escape("a-b.c/d") == "a__dash__b__dot__c__slash__d"
    assert escape("a__b") == "a__underscores__b"
    assert escape("a b") == ""
    schema = {"type": "object", "properties": {"a-b": {"type": "integer"}}}
    assert evaluate("self.a__dash__b == 1", {"a-b": 1}, schema) is True


def test_a_missing_key_is_an_error_and_no_truth():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    with pytest.raises(EvaluationError, match="no such key: a"):
        evaluate("self.a > 1", {}, schema)
    assert evaluate("has(self.a)", {}, schema) is False


def test_what_was_before_may_be_optional():
    schema = {"type": "integer"}
    text = "!oldSelf.hasValue() || oldSelf.value() <= self"
    assert evaluate(text, 1, schema, optional=True) is True
    assert evaluate(text, 1, schema, old=2, known=True, optional=True) is False


def test_fields_that_the_schema_does_not_have_are_found_at_once():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    expressions = Expressions.of(build(schema), root=False)
    assert "undefined field 'b'" in expressions.fault("self.b == 'x'", "bool")
    assert expressions.fault("self.a == 'self.b'", "bool") == ""
    assert expressions.fault("'a'", "bool") == "cel expression must evaluate to a bool"
    assert expressions.uses_old("self.a == oldSelf.a")
    assert not expressions.uses_old("self.a == 'oldSelf'")


def test_loops_in_loops_have_a_bound():
    text = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"
    assert evaluate(text, [1] * 15, INTEGERS) is True
    with pytest.raises(EvaluationError, match="cost limit exceeded"):
        evaluate(text, [1] * 100, INTEGERS)


def test_one_object_has_a_budget():
    schema = {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]},
            }
        },
    }
    faults = list(RuleSet(build(schema)).faults({"a": [1] * 30_000}, UNSET, []))
    assert len(faults) == 1
    assert "running out of cost budget" in str(faults[0])


def test_what_is_unchanged_is_not_held_against_a_change():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
            "b": {"type": "integer"},
        },
    }
    rules = RuleSet(build(schema))
    assert list(rules.faults({"a": 9, "b": 2}, {"a": 9, "b": 1}, [])) == []
    (fault,) = rules.faults({"a": 8}, {"a": 9}, [])
    assert str(fault) == "a: Invalid value: 8: failed rule: self < 5"


def test_a_rule_that_fails_to_run_says_so():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": {"type": "integer"}}},
        "x-kubernetes-validations": [{"rule": "self.a['x'] > 1", "message": "x is needed"}],
    }
    (fault,) = RuleSet(build(schema)).faults({"a": {}}, UNSET, [])
    assert str(fault) == (
        '<nil>: Invalid value: "object": no such key: x evaluating rule: x is needed'
    )
