import re
from pathlib import Path

import pytest

from minijuju.cli import catalog, main, refusals

# What Juju 3.6 registers, but for what only its developers see.
JUJU = """
actions add-cloud add-credential add-k8s add-machine add-model add-secret add-secret-backend
add-space add-ssh-key add-storage add-unit add-user agree agreements attach-resource
attach-storage autoload-credentials bind bootstrap cancel-task change-user-password
charm-resources clouds config constraints consume controller-config controllers create-backup
create-storage-pool credentials dashboard debug-code debug-hooks debug-log default-credential
default-region deploy destroy-controller destroy-model detach-storage diff-bundle
disable-command disable-user disabled-commands download download-backup enable-command
enable-destroy-controller enable-ha enable-user exec export-bundle expose find find-offers
firewall-rules grant grant-cloud grant-secret help-action-commands help-hook-commands
import-filesystem import-ssh-key info integrate kill-controller list-actions
list-charm-resources list-clouds list-controllers list-credentials list-disabled-commands
list-firewall-rules list-machines list-models list-offers list-operations list-regions
list-resources list-secret-backends list-secrets list-spaces list-ssh-keys list-storage
list-storage-pools list-subnets list-users login logout machines migrate model-config
model-constraints model-defaults model-secret-backend models move-to-space offer offers
operations payloads refresh regions register relate reload-spaces remove-application
remove-cloud remove-credential remove-k8s remove-machine remove-offer remove-relation
remove-saas remove-secret remove-secret-backend remove-space remove-ssh-key remove-storage
remove-storage-pool remove-unit remove-user rename-space resolve resolved resources
resume-relation retry-provisioning revoke revoke-cloud revoke-secret run scale-application scp
secret-backends secrets set-constraints set-credential set-firewall-rule set-model-constraints
show-action show-application show-cloud show-controller show-credential show-machine
show-model show-offer show-operation show-secret show-secret-backend show-space
show-status-log show-storage show-task show-unit show-user spaces ssh ssh-keys status storage
storage-pools subnets suspend-relation switch sync-agent-binary trust unexpose unregister
update-cloud update-credential update-k8s update-public-clouds update-secret
update-secret-backend update-storage-pool upgrade-controller upgrade-machine upgrade-model
users version wait-for whoami
"""

VERBS = [verb for module in catalog.MODULES for verb in catalog.load(module)]


def test_the_catalog_names_the_verbs_of_each_module():
    for module, names in catalog.MODULES.items():
        assert tuple(verb.name for verb in catalog.load(module)) == names
    assert set(catalog.ALIASES.values()) <= set(catalog.names())
    assert not set(catalog.ALIASES) & set(catalog.names())
    refused = [name for names in refusals.REASONS.values() for name in names]
    assert len(refused) == len(set(refused))
    assert not set(refused) & {*catalog.names(), *catalog.ALIASES}


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
    ("verb", "flag", "reason"),
    [(verb, flag, reason) for verb in VERBS for flag, reason in verb.refused],
    ids=lambda each: getattr(each, "name", each),
)
def test_flags_of_juju_that_make_no_sense_say_why(run, verb, flag, reason):
    for words in ([flag, "x"], [f"{flag}=x"]):
        result = run(verb.name, *words)
        assert (result.code, result.err) == (1, f"ERROR {flag}: {reason}\n")


def test_an_unknown_verb_names_what_there_is_and_what_is_close(run):
    result = run("deplooy", program="juju")
    assert result.code == 2
    assert result.err.startswith(
        'ERROR juju: "deplooy" is not a juju command. See "juju --help".\n\n'
        "Did you mean:\n\tdeploy\n"
    )
    assert "wait-for" in result.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("add-machine", 'Juju command "add-machine" not supported on container models'),
        ("debug-hooks", "a hook cannot be held open; see debug-log"),
        ("add-user", "there is one user"),
        ("add-k8s", "bootstrap --kubeconfig"),
    ],
)
def test_a_verb_of_juju_that_is_not_here_says_why(run, name, reason):
    for argv in ([name], ["help", name], [name, "--help"]):
        result = run(*argv, program="juju")
        assert (result.code, result.out) == (1, "")
        assert reason in result.err


def test_every_verb_of_juju_is_here_or_refused():
    here = {*catalog.names(), *catalog.ALIASES}
    missing = [name for name in JUJU.split() if name not in here and not refusals.reason(name)]
    assert missing == []


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


def test_the_readme_names_every_verb():
    text = (Path(__file__).parents[4] / "lib/minijuju/README.md").read_text()
    rows = text.partition("| for | verbs |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`([a-z-]+)`", rows)) == catalog.names()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_takes_the_options_of_all(verb):
    for words in (["--debug", "--logging-config", "<root>=DEBUG"], ["--verbose", "-B"]):
        assert verb.parse("juju", [*words, "--help"]).noisy
    assert verb.parse("juju", ["--quiet", "--help"]).quiet


def test_what_is_said_beside_the_result(run, fake):
    fake.answers["add_model"] = None
    fake.progress["add_model"] = ["WARNING a key is unknown", "something else"]
    said = run("add-model", "m").err
    assert "Added 'm' model" in said
    assert run("add-model", "m", "--quiet").err == "WARNING a key is unknown\n"
    assert "DEBUG minijuju.client add_model took " in run("add-model", "m", "--debug").err
    assert "DEBUG minijuju.client" in run("--show-log", "add-model", "m").err
    clash = run("add-model", "m", "--quiet", "--verbose")
    assert (clash.code, "clash" in clash.err) == (2, True)


def test_options_alone_are_no_command(run):
    result = run("--debug", "--logging-config", "x=DEBUG")
    assert (result.code, "no command specified" in result.err) == (2, True)


def test_what_is_said_cannot_command_the_terminal(run, fake):
    """Errors and progress may quote what a charm wrote."""
    fake.progress["add_model"] = ["a\x1b[2J\nb"]
    fake.answers["add_model"] = {"error": {"code": "failed", "message": "c\x1b]0;x\x07\nd"}}
    assert run("add-model", "m").err == "a\\x1b[2J\nb\nERROR c\\x1b]0;x\\x07\nd\n"
