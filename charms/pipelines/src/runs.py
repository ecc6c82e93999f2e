"""The actions that list, show, retry, reproduce, compare and remove runs: what the API does."""

from __future__ import annotations

import http.client
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import ops

from options import seconds
from toolkit_charm import ToolkitCharm, Unready, probe, tokens

API: Final = "/apis/v2beta1"
_ROUNDS: Final = 1000
"""How often the service is asked to go on removing; each takes it ten seconds."""
_SHOWN: Final = 60
"""Characters of an error in a table."""
_MOST_ROWS: Final = 50
"""Rows in a table of tasks or of differences."""
_FRACTION: Final = re.compile(r"\.[0-9]+")


class RunsError(Exception):
    """It cannot be done; the message is for who asked."""


class RunActions(ops.Object):
    """What an operator does with runs.

    Args:
        charm: of the service.
        address: gives where the service listens, beside the charm; one that stands by forwards.
        absent: gives why the unit serves nothing, or "".
    """

    def __init__(
        self, charm: ToolkitCharm[Any], address: Callable[[], str], absent: Callable[[], str]
    ) -> None:
        super().__init__(charm, "runs")
        self._charm = charm
        self._address = address
        self._absent = absent
        for event, act in (
            (charm.on.list_runs_action, self._on_list_runs),
            (charm.on.show_run_action, self._on_show_run),
            (charm.on.retry_run_action, self._on_retry_run),
            (charm.on.reproduce_action, self._on_reproduce),
            (charm.on.compare_runs_action, self._on_compare_runs),
            (charm.on.prune_action, self._on_prune),
        ):
            self.framework.observe(event, act)

    def _on_list_runs(self, event: ops.ActionEvent) -> None:
        self._act(event, self._list)

    def _on_show_run(self, event: ops.ActionEvent) -> None:
        self._act(event, self._show)

    def _on_retry_run(self, event: ops.ActionEvent) -> None:
        self._act(event, self._retry)

    def _on_reproduce(self, event: ops.ActionEvent) -> None:
        self._act(event, self._reproduce)

    def _on_compare_runs(self, event: ops.ActionEvent) -> None:
        self._act(event, self._compare)

    def _on_prune(self, event: ops.ActionEvent) -> None:
        self._act(event, self._prune)

    @staticmethod
    def _act(
        event: ops.ActionEvent, do: Callable[[Mapping[str, Any]], Mapping[str, object]]
    ) -> None:
        try:
            found = do(event.params)
        except (RunsError, Unready) as error:
            event.fail(str(error))
        else:
            event.set_results({name: str(value) for name, value in found.items()})

    def _list(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        predicates = []
        if state := params.get("state", ""):
            predicates.append(_equals("state", state))
        if experiment := params.get("experiment", ""):
            predicates.append(_equals("experiment_id", self._experiment(experiment)))
        asked = {"page_size": params.get("limit", 20), "sort_by": "created_at desc"}
        found = self._ask("GET", "/runs", {**asked, **_filter(predicates)})
        listed = found.get("runs", [])
        counts = {"shown": len(listed), "total": found.get("total_size", 0)}
        if params.get("format", "table") == "json":
            return {**counts, "runs": json.dumps(listed)}
        return {**counts, "runs": _table(listed)}

    def _experiment(self, name: str) -> str:
        found = self._ask("GET", "/experiments", _filter([_equals("display_name", name)]))
        for each in found.get("experiments", []):
            return str(each["experiment_id"])
        raise RunsError(f"there is no experiment {name!r}")

    def _show(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        run = self._ask("GET", f"/runs/{quote(params['run-id'], safe='')}")
        result: dict[str, object] = {
            "run-id": run["run_id"],
            "name": _line(run.get("display_name", "")),
            "state": run.get("state", ""),
            "created": _FRACTION.sub("", run["created_at"]),
            "took": _took(run),
        }
        if params.get("format", "table") == "json":
            return {**result, "run": json.dumps(run)}
        if error := (run.get("error") or {}).get("message", ""):
            result["error"] = _line(error)
        if warnings := run.get("warnings"):
            result["warnings"] = "\n".join(map(_line, warnings))
        return {**result, "tasks": _tasks(run.get("run_details", {}).get("task_details", []))}

    def _retry(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        path = f"/runs/{quote(params['run-id'], safe='')}"
        self._ask("POST", f"{path}:retry", body={})
        run = self._ask("GET", path)
        return {"run-id": run["run_id"], "name": run["display_name"], "state": run["state"]}

    def _reproduce(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        # It is not waited for: a unit does nothing else while an action runs.
        run = self._ask("POST", f"/runs/{quote(params['run-id'], safe='')}:reproduce", body={})
        return {
            "run-id": run["run_id"],
            "name": run["display_name"],
            "state": run["state"],
            "reproduces": run["reproduces"],
            "compare": f"juju run {self._charm.unit.name} compare-runs run-id={run['run_id']}",
        }

    def _compare(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        other = params.get("with", "")
        found = self._ask(
            "GET",
            f"/runs/{quote(params['run-id'], safe='')}:compare",
            {"with": other} if other else None,
        )
        result: dict[str, object] = {"outcome": found["outcome"], "with": found["with"]}
        if params.get("format", "table") == "json":
            return {**result, "comparison": json.dumps(found)}
        if "tasks" not in found:
            return {**result, "states": " and ".join(found["states"])}
        for name, count in found["counts"].items():
            result[name.lower().replace("_", "-")] = count
        for name in ("spec", "parameters"):
            before, after = found[f"{name}_digests"]
            if before != after:
                result[f"{name}-differ"] = f"{before} and {after}"
        return {**result, "tasks": _differences(found["tasks"])}

    def _prune(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        try:
            age = seconds(params.get("older-than", ""))
        except ValueError as error:
            raise RunsError(f"older-than: {error}") from error
        asked = {"seconds": age, "count": params.get("keep", 0)}
        if not age and not asked["count"]:
            raise RunsError("say by older-than, by keep or by both which runs are to be kept")
        if params.get("dry-run", False):
            found = self._ask("POST", "/runs:prune", body={**asked, "dry_run": True})
            return {"would-remove": len(found["run_ids"]), "run-ids": "\n".join(found["run_ids"])}
        removed = 0
        for _ in range(_ROUNDS):
            found = self._ask("POST", "/runs:prune", body=asked)
            removed += len(found["run_ids"])
            if not found["more"] or not found["run_ids"]:
                break
        result: dict[str, object] = {"removed": removed, "in-use": found["kept"]}
        if found["failed"]:
            run_id, why = next(iter(found["failed"].items()))
            result["failed"] = f"{len(found['failed'])}, such as {run_id}: {why}"
        return result

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
    ) -> dict[str, Any]:
        """Ask the API; RunsError has its words if it says no."""
        if halted := self._absent():
            raise RunsError(f"{self._charm.unit.name} serves nothing: {halted}")
        token = tokens.load(self._charm).value
        url = f"{self._address()}{API}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            status, text = probe.ask(method, url, token=token, body=body)
        except (OSError, http.client.HTTPException) as error:
            raise RunsError(f"the service does not answer: {error or type(error)}") from error
        try:
            found = json.loads(text)
        except ValueError:
            found = {}
        if status != 200:
            said = found.get("message") if isinstance(found, dict) else ""
            raise RunsError(f"the service says: {said or f'HTTP {status}'}")
        return dict(found)


def _equals(key: str, value: str) -> dict[str, str]:
    return {"operation": "EQUALS", "key": key, "string_value": value}


def _filter(predicates: Sequence[Mapping[str, str]]) -> dict[str, object]:
    return {"filter": json.dumps({"predicates": predicates})} if predicates else {}


def _table(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [("RUN ID", "STATE", "CREATED", "TOOK", "NAME", "ERROR")]
    for run in runs:
        error = (run.get("error") or {}).get("message", "")
        rows.append(
            (
                run["run_id"],
                run.get("state", ""),
                _FRACTION.sub("", run["created_at"]),
                _took(run),
                _line(run.get("display_name", "")),
                textwrap.shorten(_line(error), _SHOWN, placeholder=" …"),
            )
        )
    return _aligned(rows)


def _tasks(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Give a table of tasks as they were reached, each with its path."""
    paths: dict[str, str] = {}
    rows = [("TASK", "STATE", "TOOK", "ERROR")]
    for task in tasks:
        # What a task is in was reached before it.
        outer = paths.get(task.get("parent_task_id", ""), "")
        name = _line(task.get("display_name", ""))
        if "iteration_index" in task:
            path = f"{outer}[{task['iteration_index']}]"
        else:
            path = f"{outer}/{name}" if outer else name
        paths[task["task_id"]] = path
        why = (task.get("error") or {}).get("message", "") or task.get("skip_reason", "")
        ran = "start_time" in task
        took = _between(task["start_time"], task.get("end_time")) if ran else ""
        brief = textwrap.shorten(_line(why), _SHOWN, placeholder=" …")
        rows.append((path, task.get("state", ""), took, brief))
    left = len(rows) - 1 - _MOST_ROWS
    text = _aligned(rows[: _MOST_ROWS + 1])
    return f"{text}\n… and {left} more: format=json has them" if left > 0 else text


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _differences(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Give a table of what is not the same; with no rows if all is."""
    rows = [("TASK", "OUTPUT", "OUTCOME", "BEFORE", "NOW", "WHY")]
    for task in tasks:
        whole = {
            "name": "",
            "outcome": task["outcome"],
            "digests": task["states"],
            "reason": task.get("reason", ""),
        }
        parts = [whole] if whole["reason"] else []
        parts += [each for each in task.get("outputs", []) if each["outcome"] != "SAME"]
        for part in parts:
            before, after = (_brief(each) for each in part["digests"])
            why = textwrap.shorten(_line(part["reason"]), _SHOWN, placeholder=" …")
            named = _line(task["task"]), part["name"], part["outcome"]
            rows.append((*named, before, after, why))
        if changed := task.get("packages_changed"):
            why = textwrap.shorten(_line(", ".join(changed)), _SHOWN, placeholder=" …")
            rows.append((_line(task["task"]), "", "packages", "", "", why))
    left = len(rows) - 1 - _MOST_ROWS
    text = _aligned(rows[: _MOST_ROWS + 1])
    return f"{text}\n… and {left} more: format=json has them" if left > 0 else text


def _brief(digest: str) -> str:
    """Give the beginning of a digest, or a state, or what stands for neither."""
    kind, colon, value = digest.partition(":")
    return f"{kind}:{value[:12]}" if colon else digest or "-"


def _line(text: str) -> str:
    """What users wrote, on one line and with nothing that a terminal would act on."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _took(run: Mapping[str, Any]) -> str:
    return _between(run["created_at"], run.get("finished_at"))


def _between(start: str, end: str | None) -> str:
    """Give how long something took, or has taken so far."""
    begun, finished = datetime.fromisoformat(start), str(end or "")
    over = bool(finished) and not finished.startswith("1970-01-01T00:00:00")
    ended = datetime.fromisoformat(finished) if over else datetime.now(UTC)
    whole = max(int((ended - begun).total_seconds()), 0)
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
