"""Small programs of every construct: written as pipelines, and interpreted plainly.

A program is a body of nodes. `written` gives it as a pipeline spec, as KFP's compiler would;
`interpreted` runs it one node after the other and says how each task must end. The two share
nothing but the program. What a step makes of what it gets is `computed`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hypothesis import strategies as st

from toolkit_pipelines.runstate import TaskPhase

SUCCEEDED, FAILED, SKIPPED = TaskPhase.SUCCEEDED, TaskPhase.FAILED, TaskPhase.SKIPPED
AROUND, INNER = "m", "n"
"""The inputs of every DAG: a number from outside of it, and its own."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A task. `takes` names what it gets: an input of the DAG or a node before it."""

    name: str
    takes: str = INNER
    after: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step(Node):
    """A container. `status` names a node whose end it waits for, whatever that is."""

    retries: int = 0
    status: str = ""


@dataclass(frozen=True, kw_only=True)
class Nested(Node):
    """A pipeline in the pipeline."""

    body: Body


@dataclass(frozen=True, kw_only=True)
class If(Node):
    """A body that runs if what the node takes is more than a number."""

    over: int
    body: Body


@dataclass(frozen=True, kw_only=True)
class Branches(Node):
    """Two bodies, of which one runs: If and Else, joined by OneOf."""

    over: int
    then: Body
    otherwise: Body


@dataclass(frozen=True, kw_only=True)
class Loop(Node):
    """A body for each item, its outputs collected.

    Attributes:
        items: numbers; None for the list, or the artifacts, that the node takes.
        part: the items are maps, and the body gets a part of each.
        artifacts: the items are artifacts.
    """

    items: tuple[int, ...] | None
    part: bool = False
    artifacts: bool = False
    limit: int = 0
    body: Body


@dataclass(frozen=True)
class Body:
    """Nodes, and the one whose output is the body's."""

    nodes: tuple[Node, ...]
    output: str


Value: TypeAlias = Any


def computed(path: str, inputs: Mapping[str, Value]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Give a step's output parameters and the URIs of its artifacts."""
    total = inputs.get("x", 0) + _sum(inputs.get("xs", []))
    return {"Output": total + 1, "list": [total, total + 1]}, (f"uri:{path}",)


def _sum(value: Value) -> int:
    return sum(map(_sum, value)) if isinstance(value, list) else value


def failures(path: str, seed: int, share: int) -> int:
    """Give how many attempts of a step fail: of 100 steps `share` have any."""
    number = zlib.crc32(f"{seed}:{path}".encode())
    return 1 + number // 100 % 3 if number % 100 < share else 0


# -- making them


def programs(depth: int = 3) -> st.SearchStrategy[Body]:
    """Programs up to a depth."""
    return _bodies(depth, collecting=False)


@st.composite
def _bodies(draw: st.DrawFn, depth: int, *, collecting: bool) -> Body:
    nodes: list[Node] = [Step(name="s0", takes=draw(st.sampled_from([INNER, AROUND])))]
    for number in range(1, draw(st.integers(1, 5 if depth > 1 else 3))):
        nodes.append(draw(_nodes(f"s{number}", tuple(nodes), depth)))
    # Only a loop's body gives lists: they are collected once more.
    single = (Step, Nested, Branches, *((Loop,) if collecting else ()))
    outputs = [node.name for node in nodes if isinstance(node, single)]
    return Body(tuple(nodes), draw(st.sampled_from(outputs)))


@st.composite
def _nodes(draw: st.DrawFn, name: str, before: tuple[Node, ...], depth: int) -> Node:
    names = [n.name for n in before]
    # What comes after a failure is a matter of time: nothing takes a value from a closing step.
    steps = [n.name for n in before if isinstance(n, Step) and not n.status]
    numbers = [*steps, *(n.name for n in before if isinstance(n, Nested | Branches))]
    lists = [n.name for n in before if isinstance(n, Loop)]
    kinds = ["step", "step", "closing"]
    if depth > 1:
        kinds += ["nested", "if", "branches", "loop", "loop"]
    kind = draw(st.sampled_from(kinds))
    takes = draw(st.sampled_from([INNER, AROUND, *numbers]))
    after = tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2)))
    body = _bodies(depth - 1, collecting=kind == "loop")
    match kind:
        case "step":
            takes = draw(st.sampled_from([takes, *lists]))
            retries = draw(st.sampled_from([0, 0, 1, 3]))
            return Step(name=name, takes=takes, after=after, retries=retries)
        case "closing":
            return Step(name=name, after=after, status=draw(st.sampled_from(names)))
        case "nested":
            return Nested(name=name, takes=takes, after=after, body=draw(body))
        case "if":
            over = draw(st.integers(0, 4))
            return If(name=name, takes=takes, after=after, over=over, body=draw(body))
        case "branches":
            return Branches(
                name=name,
                takes=takes,
                after=after,
                over=draw(st.integers(0, 4)),
                then=draw(body),
                otherwise=draw(body),
            )
    items: tuple[int, ...] | None = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    artifacts, takes = False, INNER
    if draw(st.booleans()):
        items = None
        artifacts = bool(lists) and draw(st.booleans())
        takes = draw(st.sampled_from(lists if artifacts else steps))
    return Loop(
        name=name,
        takes=takes,
        after=after,
        items=items,
        part=items is not None and draw(st.booleans()),
        artifacts=artifacts,
        limit=draw(st.integers(0, 3)),
        body=draw(body),
    )


# -- as pipelines

_ARTIFACT = {"artifactType": {"schemaTitle": "system.Artifact"}}
_NUMBER = {"parameterType": "NUMBER_INTEGER"}
_OPTIONAL = {**_NUMBER, "isOptional": True, "defaultValue": 0}
_STEP = {
    "executorLabel": "exec",
    "inputDefinitions": {
        "parameters": {
            "x": _OPTIONAL,
            "xs": {"parameterType": "LIST", "isOptional": True, "defaultValue": []},
            "status": {"parameterType": "TASK_FINAL_STATUS", "isOptional": True},
        },
        "artifacts": {"given": {**_ARTIFACT, "isOptional": True}},
    },
    "outputDefinitions": {
        "parameters": {"Output": _NUMBER, "list": {"parameterType": "LIST"}},
        "artifacts": {"art": _ARTIFACT},
    },
}


def written(program: Body) -> dict[str, Any]:
    """Give a program as a pipeline spec."""
    writer = _Writer()
    root = writer.components.pop(writer.body(program))
    return {
        "pipelineInfo": {"name": "program"},
        "components": writer.components,
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i", "command": ["c"]}}}},
        "root": root,
    }


@dataclass
class _Writer:
    components: dict[str, Any] = field(default_factory=lambda: {"step": _STEP})

    def body(self, body: Body, loop: Loop | None = None) -> str:
        """Add a body's component; give its name."""
        lists = {node.name for node in body.nodes if isinstance(node, Loop)}
        tasks = {node.name: self._task(node, lists) for node in body.nodes}
        parameters: dict[str, Any] = {INNER: _OPTIONAL, AROUND: _OPTIONAL}
        artifacts: dict[str, Any] = {}
        if loop is not None and loop.artifacts:
            artifacts = {"all": {**_ARTIFACT, "isArtifactList": True}, "item": _ARTIFACT}
            tasks["s0"].setdefault("inputs", {})["artifacts"] = {
                "given": {"componentInputArtifact": "item"}
            }
        elif loop is not None and loop.part:
            parameters["item"] = {"parameterType": "STRUCT"}
            # The body's own number is a part of the item.
            for task in tasks.values():
                _replace(task, INNER, 'parseJson(string_value)["a"]')
        elif loop is not None:
            parameters[INNER] = _NUMBER
            if loop.items is None:
                parameters["all"] = {"parameterType": "LIST"}
        outputs = {
            "parameters": {"Output": {"valueFromParameter": _parameter(body.output)}},
            "artifacts": {"art": {"artifactSelectors": [_artifact(body.output)]}},
        }
        return self._add(tasks, outputs, parameters, artifacts, listed=loop is not None)

    def _add(
        self,
        tasks: dict[str, Any],
        outputs: dict[str, Any],
        parameters: dict[str, Any],
        artifacts: dict[str, Any],
        *,
        listed: bool = False,
    ) -> str:
        name = f"dag{len(self.components)}"
        self.components[name] = {
            "dag": {"tasks": tasks, "outputs": outputs},
            "inputDefinitions": {"parameters": parameters, "artifacts": artifacts},
            "outputDefinitions": {
                "parameters": {
                    "Output": {"parameterType": "LIST" if listed else "NUMBER_INTEGER"}
                },
                "artifacts": {"art": {**_ARTIFACT, "isArtifactList": listed}},
            },
        }
        return name

    def _task(self, node: Node, lists: set[str]) -> dict[str, Any]:
        task: dict[str, Any] = {"dependentTasks": list(node.after)}
        source = _source(node.takes)
        match node:
            case Step():
                parameters = {"xs" if node.takes in lists else "x": source}
                if node.status:
                    status = {"taskFinalStatus": {"producerTask": node.status}}
                    parameters = {"x": source, "status": status}
                    task["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
                if node.retries:
                    task["retryPolicy"] = {
                        "maxRetryCount": node.retries,
                        "backoffDuration": "2s",
                        "backoffFactor": 2.0,
                        "backoffMaxDuration": "5s",
                    }
                task |= {"componentRef": {"name": "step"}, "inputs": {"parameters": parameters}}
            case Nested():
                task |= _run(self.body(node.body), source)
            case If():
                task |= _run(self.body(node.body), source, f"> {node.over}")
            case Branches():
                task |= _run(self._branches(node), source)
            case Loop():
                task |= self._loop(node)
        return task

    def _branches(self, node: Branches) -> str:
        inner = _source(INNER)
        tasks = {
            "then": _run(self.body(node.then), inner, f"> {node.over}"),
            "else": _run(self.body(node.otherwise), inner, f"<= {node.over}"),
        }
        both = [_parameter("then"), _parameter("else")]
        outputs = {
            "parameters": {"Output": {"valueFromOneof": {"parameterSelectors": both}}},
            "artifacts": {"art": {"artifactSelectors": [_artifact("then"), _artifact("else")]}},
        }
        return self._add(tasks, outputs, {INNER: _OPTIONAL, AROUND: _OPTIONAL}, {})

    def _loop(self, node: Loop) -> dict[str, Any]:
        parameters: dict[str, Any] = {AROUND: _source(INNER)}
        inputs: dict[str, Any] = {"parameters": parameters}
        iterator: dict[str, Any]
        if node.artifacts:
            source = {"producerTask": node.takes, "outputArtifactKey": "art"}
            inputs["artifacts"] = {"all": {"taskOutputArtifact": source}}
            iterator = {"itemInput": "item", "items": {"inputArtifact": "all"}}
        elif node.items is None:
            parameters["all"] = _source(node.takes, "list")
            iterator = {"itemInput": INNER, "items": {"inputParameter": "all"}}
        else:
            items = [{"a": each} if node.part else each for each in node.items]
            item = "item" if node.part else INNER
            iterator = {"itemInput": item, "items": {"raw": json.dumps(items)}}
        kind = "artifactIterator" if node.artifacts else "parameterIterator"
        return {
            "componentRef": {"name": self.body(node.body, node)},
            "inputs": inputs,
            kind: iterator,
            "iteratorPolicy": {"parallelismLimit": node.limit},
        }


def _run(component: str, source: dict[str, Any], test: str = "") -> dict[str, Any]:
    task: dict[str, Any] = {
        "componentRef": {"name": component},
        "inputs": {"parameters": {INNER: source, AROUND: _source(INNER)}},
    }
    if test:
        task["triggerPolicy"] = {"condition": f"int(inputs.parameter_values['{INNER}']) {test}"}
    return task


def _source(name: str, key: str = "Output") -> dict[str, Any]:
    if name in (INNER, AROUND):
        return {"componentInputParameter": name}
    return {"taskOutputParameter": {"producerTask": name, "outputParameterKey": key}}


def _replace(task: dict[str, Any], name: str, part: str) -> None:
    """Let a task take a part of the item where it takes an input."""
    for source in task["inputs"]["parameters"].values():
        if source.get("componentInputParameter") == name:
            source |= {
                "componentInputParameter": "item",
                "parameterExpressionSelector": part,
            }


def _parameter(task: str) -> dict[str, str]:
    return {"producerSubtask": task, "outputParameterKey": "Output"}


def _artifact(task: str) -> dict[str, str]:
    return {"producerSubtask": task, "outputArtifactKey": "art"}


# -- as they are meant


@dataclass(frozen=True)
class End:
    """How a node must end; `value` and `artifacts` are None if it gives none."""

    phase: TaskPhase
    value: Value = None
    artifacts: tuple[str, ...] | None = None
    items: list[int] | None = None


@dataclass
class Reference:
    """Interprets a program.

    Attributes:
        seed, share: which attempts fail; see `failures`.
        ends: how each task ends that is reached, by path; iterations too.
        started: the paths of the steps that run, with what each gets.
        given: the URI that a step gets of a loop over artifacts, by its path.
    """

    seed: int = 0
    share: int = 0
    ends: dict[str, End] = field(default_factory=dict)
    started: dict[str, dict[str, Value]] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)

    def run(self, body: Body, number: int, around: int, prefix: str = "") -> End:
        """Interpret a body; give how it ends."""
        done: dict[str, End] = {}
        for node in body.nodes:
            done[node.name] = self._node(node, done, number, around, prefix + node.name)
            self.ends[prefix + node.name] = done[node.name]
        if any(end.phase is FAILED for end in done.values()):
            return End(FAILED)
        output = done[body.output]
        return End(SUCCEEDED, output.value, output.artifacts)

    def _node(
        self, node: Node, done: Mapping[str, End], number: int, around: int, path: str
    ) -> End:
        before = {*node.after, *({node.takes} & done.keys())}
        closing = isinstance(node, Step) and node.status
        if not closing and any(done[each].phase is not SUCCEEDED for each in before):
            return End(SKIPPED)
        value = {INNER: number, AROUND: around}.get(node.takes)
        given = done.get(node.takes)
        if given is not None:
            value = given.value
        match node:
            case Step():
                return self._step(node, value, path)
            case Nested():
                return self.run(node.body, value or 0, number, f"{path}/")
            case If():
                if (value or 0) <= node.over:
                    return End(SKIPPED)
                return self.run(node.body, value or 0, number, f"{path}/")
            case Branches():
                return self._branches(node, value or 0, path)
            case Loop():
                return self._loop(node, given, number, path)
        raise AssertionError(node)

    def _step(self, node: Step, value: Value, path: str) -> End:
        inputs: dict[str, Value] = {"x": 0, "xs": []}
        if isinstance(value, list):
            inputs["xs"] = value
        elif value is not None:
            inputs["x"] = value
        self.started[path] = inputs
        if failures(path, self.seed, self.share) > node.retries:
            return End(FAILED)
        outputs, artifacts = computed(path, inputs)
        return End(SUCCEEDED, outputs["Output"], artifacts, outputs["list"])

    def _branches(self, node: Branches, number: int, path: str) -> End:
        taken, other = ("then", "else") if number > node.over else ("else", "then")
        body = node.then if taken == "then" else node.otherwise
        end = self.run(body, number, number, f"{path}/{taken}/")
        self.ends[f"{path}/{taken}"] = end
        self.ends[f"{path}/{other}"] = End(SKIPPED)
        return end

    def _loop(self, node: Loop, given: End | None, number: int, path: str) -> End:
        items: list[int] = list(node.items or ())
        if node.items is None:
            assert given is not None
            items = given.items or []
        if node.artifacts:
            assert given is not None
            uris = given.artifacts or ()
            items = [0] * len(uris)
            self.given |= {f"{path}/{index}/s0": uri for index, uri in enumerate(uris)}
        ends = []
        for index, item in enumerate(items):
            ends.append(self.run(node.body, item, number, f"{path}/{index}/"))
            self.ends[f"{path}/{index}"] = ends[-1]
        if any(end.phase is FAILED for end in ends):
            return End(FAILED)
        return End(
            SUCCEEDED,
            [end.value for end in ends if end.value is not None],
            tuple(uri for end in ends for uri in end.artifacts or ()),
        )
