import pytest
from hypothesis import given
from hypothesis import strategies as st

from minijuju.cli.query import MAX_LENGTH, QueryError, compile_query

UNIT = {"name": "a/0", "workload-status": "active", "leader": True}
SCOPE = {
    "name": "a",
    "life": "alive",
    "status": "active",
    "scale": 2,
    "exposed": False,
    "units": {"a/0": UNIT, "a/1": {**UNIT, "name": "a/1", "leader": False}},
}


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ('life=="alive" && status=="active"', True),
        ("life=='alive' && status=='blocked'", False),
        ('status=="blocked" || status=="active"', True),
        ('status=="x" || status=="y" && name=="a"', False),
        ('(status=="x" || status=="active") && name=="a"', True),
        ("scale >= 2 && scale < 3", True),
        ("scale == 2.0", True),
        ("!exposed", True),
        ("!(exposed || false)", True),
        ("true", True),
        ("len(units) == 2", True),
        ("len(name) == 1", True),
        ('startsWith(status, "act") && endsWith(status, "ive")', True),
        ('forEach(units, unit => unit.workload-status=="active")', True),
        ("forEach(units, unit => unit.leader)", False),
        ("forEach(units, u => startsWith(u.name, name) && scale==2)", True),
        ('name != "b"', True),
        (r'name == "\a"', True),
        ('"a" < "b"', True),
    ],
)
def test_queries(query, holds):
    assert compile_query(query)(SCOPE) is holds


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", "unexpected 'end of query'"),
        ("status ==", "unexpected 'end of query'"),
        ('status = "x"', "cannot read '= \"x\"' at 8"),
        ("(true", "expected ')'"),
        ("true true", "unexpected 'true' at 6"),
        ("nope(1)", "no function 'nope'"),
        ("len()", "len takes 1 argument(s), got 0"),
        ("forEach(units)", "expected ','"),
        ("forEach(units, 1 => true)", "expected a name"),
        ("a.", "expected a name"),
        ("(" * 100 + "true" + ")" * 100, "nested more than"),
        ("!" * 100 + "true", "nested more than"),
        ("a" * (MAX_LENGTH + 1), "more than"),
    ],
)
def test_queries_that_cannot_be_read(query, problem):
    with pytest.raises(QueryError) as caught:
        compile_query(query)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("nope", "'nope' is not known here (known: exposed, life"),
        ("status.x", "'status.x' is not known here"),
        ("status", "yields 'active'"),
        ("scale && true", "expected true or false, got 2"),
        ('scale == "2"', "cannot compare 2 with '2'"),
        ("exposed < true", "cannot order False and True"),
        ("len(scale) == 1", "len needs"),
        ("forEach(name, u => true)", "forEach needs a collection"),
        ("startsWith(scale, 'a')", "expected a string, got 2"),
    ],
)
def test_queries_that_cannot_be_answered(query, problem):
    with pytest.raises(QueryError) as caught:
        compile_query(query)(SCOPE)
    assert problem in str(caught.value)


@given(st.text(alphabet="ab ()!&|=<>'\"1.,-", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        holds = compile_query(text)
        assert holds(SCOPE) in (True, False)
    except QueryError:
        pass
