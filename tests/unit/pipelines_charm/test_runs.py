"""The actions on runs: what the API is asked, and what is shown of it."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from ops import testing

from toolkit_charm import probe

RUN = "0b9cbc6e-5a5c-4d5e-9f3f-0d3c7d0c1f11"


def run(**changed):
    made = {
        "run_id": RUN,
        "display_name": "nightly",
        "state": "FAILED",
        "created_at": "2026-11-26T18:00:00.123456Z",
        "finished_at": "2026-11-26T18:01:05.500000Z",
        "error": {"message": "task train:\n\x1b[31mout of memory"},
    }
    return {**made, **changed}


class Api:
    """What the API is asked, and what it answers by path."""

    def __init__(self):
        self.asked = []
        self.answers = {}

    def ask(self, method, url, *, token=None, body=None):
        parts = urlsplit(url)
        assert token
        assert parts.netloc == "10.1.2.3:8888"
        path = parts.path.removeprefix("/apis/v2beta1")
        query = {name: value for name, (value,) in parse_qs(parts.query).items()}
        self.asked.append((method, path, query or body))
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):
            answer = answer.pop(0)
        status, found = answer
        return status, found if isinstance(found, str) else json.dumps(found)


@pytest.fixture
def service_api(monkeypatch):
    made = Api()
    monkeypatch.setattr(probe, "ask", made.ask)
    return made


@pytest.fixture
def act(context, running):
    def do(action, **params):
        named = {name.replace("_", "-"): value for name, value in params.items()}
        context.run(context.on.action(action, params=named), running)
        return context.action_results

    return do


def fails(act, action, **params):
    with pytest.raises(testing.ActionFailed) as caught:
        act(action, **params)
    return caught.value.message


def test_list_runs(act, service_api):
    waiting = run(display_name="a\tb", state="PENDING", finished_at="", error={})
    runs = [run(), waiting, run(finished_at="2026-11-26T20:05:01Z", error=None)]
    service_api.answers["/runs"] = 200, {"runs": runs, "total_size": 7}
    found = act("list-runs")
    assert (found["shown"], found["total"]) == ("3", "7")
    lines = found["runs"].splitlines()
    assert lines[0].split() == ["RUN", "ID", "STATE", "CREATED", "TOOK", "NAME", "ERROR"]
    assert lines[1] == (
        f"{RUN}  FAILED   2026-11-26T18:00:00Z  {'1m05s':<{lines[0].index('NAME') - 69}}"
        "nightly  task train: [31mout of memory"
    )
    assert lines[2].endswith("a b")
    assert "2h05m" in lines[3]
    assert service_api.asked == [
        ("GET", "/runs", {"page_size": "20", "sort_by": "created_at desc"})
    ]


def test_list_runs_of_an_experiment_as_json(act, service_api):
    service_api.answers["/experiments"] = 200, {"experiments": [{"experiment_id": "e1"}]}
    service_api.answers["/runs"] = 200, {"runs": [run()], "total_size": 1}
    found = act("list-runs", state="FAILED", experiment="Nightly & more", limit=5, format="json")
    assert json.loads(found["runs"]) == [run()]
    (_, _, named), (_, _, asked) = service_api.asked
    assert json.loads(named["filter"])["predicates"] == [
        {"operation": "EQUALS", "key": "display_name", "string_value": "Nightly & more"}
    ]
    assert asked["page_size"] == "5"
    assert json.loads(asked["filter"])["predicates"] == [
        {"operation": "EQUALS", "key": "state", "string_value": "FAILED"},
        {"operation": "EQUALS", "key": "experiment_id", "string_value": "e1"},
    ]


def test_list_runs_of_no_experiment(act, service_api):
    service_api.answers["/experiments"] = 200, {}
    assert fails(act, "list-runs", experiment="none") == "there is no experiment 'none'"


def test_list_runs_where_there_are_none(act, service_api):
    service_api.answers["/runs"] = 200, {}
    assert act("list-runs")["total"] == "0"


def detail(name, task_id, **more):
    times = {"start_time": "2026-11-26T18:00:00Z", "end_time": "2026-11-26T18:00:07.9Z"}
    return {"display_name": name, "task_id": task_id, "state": "SUCCEEDED", **times, **more}


def test_show_run(act, service_api):
    tasks = [
        detail("loop", "1"),
        detail("loop[0]", "2", parent_task_id="1", iteration_index=0),
        detail("train", "3", parent_task_id="2", state="FAILED", error={"message": "Error:\nno"}),
        {
            "display_name": "after",
            "task_id": "4",
            "state": "SKIPPED",
            "skip_reason": "loop failed",
        },
    ]
    warned = ["loop/train: spec.imagePullSecrets: has no effect here: no image is pulled"]
    answer = run(run_details={"task_details": tasks}, warnings=warned)
    service_api.answers[f"/runs/{RUN}"] = 200, answer
    found = act("show-run", run_id=RUN)
    assert (found["name"], found["state"], found["took"]) == ("nightly", "FAILED", "1m05s")
    assert found["error"] == "task train: [31mout of memory"
    assert found["warnings"] == warned[0]
    assert found["tasks"].splitlines() == [
        "TASK           STATE      TOOK  ERROR",
        "loop           SUCCEEDED  7s",
        "loop[0]        SUCCEEDED  7s",
        "loop[0]/train  FAILED     7s    Error: no",
        "after          SKIPPED          loop failed",
    ]
    assert json.loads(act("show-run", run_id=RUN, format="json")["run"]) == answer


def test_show_run_of_many_tasks_and_of_none(act, service_api):
    many = [detail(f"t{number}", str(number)) for number in range(60)]
    service_api.answers[f"/runs/{RUN}"] = 200, run(run_details={"task_details": many})
    lines = act("show-run", run_id=RUN)["tasks"].splitlines()
    assert len(lines) == 52
    assert lines[-1] == "… and 10 more: format=json has them"
    service_api.answers[f"/runs/{RUN}"] = 200, run()
    assert act("show-run", run_id=RUN)["tasks"] == "TASK  STATE  TOOK  ERROR"


def test_retry_run(act, service_api):
    service_api.answers[f"/runs/{RUN}:retry"] = 200, {}
    service_api.answers[f"/runs/{RUN}"] = 200, run(state="RUNNING")
    assert act("retry-run", run_id=RUN) == {"run-id": RUN, "name": "nightly", "state": "RUNNING"}


def test_retry_run_says_what_the_service_says(act, service_api):
    service_api.answers["/runs/..%2Fx:retry"] = 404, {"message": "there is no run '../x'"}
    assert fails(act, "retry-run", run_id="../x") == "the service says: there is no run '../x'"


def test_reproduce(act, service_api):
    made = run(run_id="new", state="PENDING", reproduces=RUN)
    service_api.answers[f"/runs/{RUN}:reproduce"] = 200, made
    assert act("reproduce", run_id=RUN) == {
        "run-id": "new",
        "name": "nightly",
        "state": "PENDING",
        "reproduces": RUN,
        "compare": "juju run pipelines/0 compare-runs run-id=new",
    }
    assert service_api.asked == [("POST", f"/runs/{RUN}:reproduce", {})]


def test_reproduce_says_why_not(act, service_api):
    service_api.answers[f"/runs/{RUN}:reproduce"] = 400, {"message": "a==1 is a==2 now"}
    assert fails(act, "reproduce", run_id=RUN) == "the service says: a==1 is a==2 now"


def compared(*tasks, **changed):
    made = {
        "run_id": "new",
        "with": RUN,
        "states": ["SUCCEEDED", "SUCCEEDED"],
        "outcome": "DIFFERENT",
        "spec_digests": ["a", "a"],
        "parameters_digests": ["sha256:1", "sha256:1"],
        "counts": {"SAME": 3, "NOT_COMPARABLE": 1, "DIFFERENT": 2},
        "tasks": list(tasks),
    }
    return {**made, **changed}


def task(outcome, *outputs, **more):
    made = {"task": "train", "outcome": outcome, "states": ["SUCCEEDED", "SUCCEEDED"]}
    return {**made, "outputs": list(outputs), **more}


def output(name, outcome, before, now, reason=""):
    return {"name": name, "outcome": outcome, "digests": [before, now], "reason": reason}


def test_compare_runs(act, service_api):
    service_api.answers["/runs/new:compare"] = (
        200,
        compared(
            task(
                "DIFFERENT",
                output("rows", "SAME", "sha256:1", "sha256:1"),
                output("model", "DIFFERENT", f"sha256:{'a' * 64}", "none", "they differ"),
                packages_changed=["a==1 is a==2 now"],
            ),
            {
                "task": "b\x1b[31m",
                "outcome": "DIFFERENT",
                "states": ["SUCCEEDED", ""],
                "reason": "only one of the runs reached it",
            },
            task("SAME"),
            parameters_digests=["sha256:1", "sha256:2"],
        ),
    )
    found = act("compare-runs", run_id="new")
    assert found.pop("tasks").splitlines() == [
        "TASK    OUTPUT  OUTCOME    BEFORE               NOW   WHY",
        "train   model   DIFFERENT  sha256:aaaaaaaaaaaa  none  they differ",
        "train           packages                              a==1 is a==2 now",
        "b [31m          DIFFERENT  SUCCEEDED            -     only one of the runs reached it",
    ]
    assert found == {
        "outcome": "DIFFERENT",
        "with": RUN,
        "same": "3",
        "not-comparable": "1",
        "different": "2",
        "parameters-differ": "sha256:1 and sha256:2",
    }
    assert service_api.asked == [("GET", "/runs/new:compare", None)]


def test_compare_runs_shows_so_many_rows(act, service_api):
    outputs = [output(f"o{n}", "DIFFERENT", "", "none") for n in range(60)]
    service_api.answers["/runs/new:compare"] = 200, compared(task("DIFFERENT", *outputs))
    lines = act("compare-runs", run_id="new")["tasks"].splitlines()
    assert len(lines) == 52
    assert lines[-1] == "… and 10 more: format=json has them"


def test_compare_runs_while_one_goes_on(act, service_api):
    going = {"with": "x", "states": ["SUCCEEDED", "RUNNING"], "outcome": "PENDING"}
    service_api.answers["/runs/new:compare"] = 200, going
    assert act("compare-runs", run_id="new", **{"with": "x"}) == {
        "outcome": "PENDING",
        "with": "x",
        "states": "SUCCEEDED and RUNNING",
    }
    assert service_api.asked == [("GET", "/runs/new:compare", {"with": "x"})]


def test_compare_runs_as_json(act, service_api):
    service_api.answers["/runs/new:compare"] = 200, compared()
    found = act("compare-runs", run_id="new", format="json")
    assert json.loads(found["comparison"]) == compared()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ConnectionRefusedError("refused"), "the service does not answer: refused"),
        ((503, "<html>"), "the service says: HTTP 503"),
        ((500, "[]"), "the service says: HTTP 500"),
    ],
)
def test_a_service_that_does_not_answer(act, service_api, answer, message):
    service_api.answers["/runs"] = answer
    assert fails(act, "list-runs") == message


def test_prune(act, service_api):
    some = {"run_ids": ["a"] * 3, "kept": 1, "failed": {}, "more": True}
    last = {"run_ids": ["b"], "kept": 2, "failed": {"c": "no"}, "more": False}
    service_api.answers["/runs:prune"] = [(200, some), (200, last)]
    found = act("prune", older_than="30d", keep=100)
    assert found == {"removed": "4", "in-use": "2", "failed": "1, such as c: no"}
    assert service_api.asked == [("POST", "/runs:prune", {"seconds": 2_592_000, "count": 100})] * 2


def test_prune_ends_where_nothing_comes_of_it(act, service_api):
    service_api.answers["/runs:prune"] = (
        200,
        {"run_ids": [], "kept": 9, "failed": {}, "more": True},
    )
    assert act("prune", keep=1) == {"removed": "0", "in-use": "9"}
    assert len(service_api.asked) == 1


def test_prune_dry(act, service_api):
    service_api.answers["/runs:prune"] = (200, {"run_ids": ["a", "b"], "kept": 0, "more": False})
    assert act("prune", keep=1, dry_run=True) == {"would-remove": "2", "run-ids": "a\nb"}
    assert service_api.asked[0][2] == {"seconds": 0, "count": 1, "dry_run": True}


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "say by older-than, by keep"), ({"older_than": "soon"}, "older-than: write a number")],
)
def test_prune_asks_what_is_to_be_kept(act, service_api, params, message):
    assert fails(act, "prune", **params).startswith(message)
    assert not service_api.asked


def test_a_unit_that_serves_nothing(context_for, state, container):
    context = context_for(1)
    after = context.run(context.on.pebble_ready(container), state)
    with pytest.raises(testing.ActionFailed, match="pipelines/1 serves nothing: a further unit"):
        context.run(context.on.action("list-runs"), after)
