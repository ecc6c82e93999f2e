import pytest

from minijuju.cli import catalog, main

VERBS = [verb for module in catalog.MODULES for verb in catalog.load(module)]


def test_the_catalog_names_the_verbs_of_each_module():
    for module, names in catalog.MODULES.items():
        assert tuple(verb.name for verb in catalog.load(module)) == names
    assert not catalog.UNBUILT & set(catalog.names())
    assert not catalog.UNBUILT & set(catalog.ALIASES)
    assert set(catalog.ALIASES.values()) <= set(catalog.names())


def test_the_overview_lists_every_verb(run):
    for argv in ([], ["--help"], ["-h"], ["help"]):
        result = run(*argv)
        assert result.code == 0
        for verb in VERBS:
            assert f"  {verb.name} " in result.out
            assert verb.summary in result.out


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_help_with_an_example_that_parses(run, verb, monkeypatch):
    for argv in ([verb.name, "--help"], ["help", verb.name], [verb.name, "-h"]):
        result = run(*argv, program="juju")
        assert result.code == 0
        assert result.err == ""
        assert result.out.startswith(f"usage: juju {verb.name}")
        assert verb.summary in result.out
        for example in verb.example:
            assert f"  juju {example}\n" in result.out
    assert verb.example
    assert verb.summary.endswith(".")
    for example in verb.example:
        import shlex

        name, *rest = shlex.split(example)
        assert name == verb.name
        verb.parse("juju", rest)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_refuses_unknown_options(run, verb):
    result = run(verb.name, "--no-such-option")
    assert result.code == 2
    assert "option provided but not defined: --no-such-option" in result.err
    assert result.err.startswith("ERROR ")


@pytest.mark.parametrize(
    ("verb", "flag"),
    [(verb, flag) for verb in VERBS for flag in verb.unbuilt],
    ids=lambda each: getattr(each, "name", each),
)
def test_flags_of_juju_that_are_not_built_say_so(run, verb, flag):
    for words in ([flag, "x"], [f"{flag}=x"]):
        result = run(verb.name, *words)
        assert result.code == 2
        assert f"{flag}: not built in minijuju yet" in result.err


def test_an_unknown_verb_names_what_there_is_and_what_is_close(run):
    result = run("deplooy")
    assert result.code == 2
    assert '"deplooy" is not a minijuju command' in result.err
    assert "Did you mean:\n\tdeploy" in result.err
    assert "wait-for" in result.err


def test_a_verb_of_juju_that_is_not_built_says_so(run):
    result = run("add-machine")
    assert (result.code, result.out) == (2, "")
    assert "add-machine: not built in minijuju yet" in result.err


def test_too_few_and_too_many_arguments(run):
    assert run("deploy").code == 2
    assert "expected <charm or bundle>" in run("deploy").err
    result = run("integrate", "a", "b", "c")
    assert result.code == 2
    assert "unrecognized args: 'c'" in result.err


def test_an_interrupt_ends_with_130(run, fake):
    def interrupt(params):
        return {"result": None}

    fake.answers["status"] = interrupt

    def raise_interrupt(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "_run", raise_interrupt)
        result = run("status")
    assert result.code == 130
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("code", "expected"),
    [("not-found", 1), ("bad-request", 1), ("failed", 1), ("timeout", 1), ("not-supported", 2)],
)
def test_errors_of_the_controller(run, fake, code, expected):
    fake.answers["status"] = {"error": {"code": code, "message": "no such thing"}}
    result = run("status", "-m", "m")
    assert (result.code, result.out) == (expected, "")
    assert result.err == "ERROR no such thing\n"


def test_no_model_in_focus(run, fake):
    result = run("status")
    assert result.code == 1
    assert result.err.startswith("ERROR No model in focus.\n")
    assert 'run "minijuju models"' not in result.err
    assert '"minijuju models"' in result.err


def test_the_program_is_called_what_it_was_called(run):
    assert "Usage: juju <command>" in run(program="juju").out
    assert "Usage: minijuju <command>" in run(program="/x/minijuju").out
