"""Control flow as a user of the KFP SDK writes it, also where its compiler writes odd things."""

# ruff: noqa: UP006, UP035, UP045, SIM117 - as the SDK's own examples are written
# No `from __future__ import annotations`: the SDK reads the annotations themselves.

from typing import Dict, List, NamedTuple, Optional

from kfp import dsl, kubernetes

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def number(x: int) -> int:
    assert type(x) is int, repr(x)
    return x


@dsl.component(base_image=IMAGE)
def text(s: str = "default") -> str:
    assert type(s) is str, repr(s)
    return s


@dsl.component(base_image=IMAGE)
def shown(v: list) -> str:
    import json

    return json.dumps(v)


@dsl.component(base_image=IMAGE)
def total(nums: List[List[int]]) -> int:
    assert all(type(n) is int for ns in nums for n in ns), nums
    return sum(n for ns in nums for n in ns)


@dsl.component(base_image=IMAGE)
def maps() -> List[Dict[str, int]]:
    return [{"a": 1, "b": 10}, {"a": 2, "b": 20}]


@dsl.component(base_image=IMAGE)
def lists() -> List[List[int]]:
    return [[1, 2], [3]]


@dsl.component(base_image=IMAGE)
def write(x: int, out: dsl.Output[dsl.Dataset]):
    with open(out.path, "w") as file:
        file.write(str(x))


@dsl.component(base_image=IMAGE)
def read(data: dsl.Input[dsl.Dataset]) -> int:
    with open(data.path) as file:
        return int(file.read())


@dsl.component(base_image=IMAGE)
def big(x: int) -> bool:
    return x > 1


@dsl.component(base_image=IMAGE)
def fail(x: int) -> str:
    raise ValueError("as asked")


@dsl.component(base_image=IMAGE)
def given(a: Optional[str] = None, n: Optional[int] = None) -> str:
    return f"{a} {n}"


@dsl.component(base_image=IMAGE)
def plus(x: int, f: float) -> float:
    return x + f


@dsl.component(base_image=IMAGE)
def late(x: int) -> str:
    import os

    attempt = os.environ["KFP_RETRY_INDEX"]
    if int(attempt) < 2:
        raise RuntimeError(attempt)
    return attempt


@dsl.container_component
def words(data: dsl.Input[dsl.Dataset], out: dsl.OutputPath(str), name: Optional[str] = None):
    return dsl.ContainerSpec(
        image="alpine:3",
        command=[
            "sh",
            "-c",
            'mkdir -p "$(dirname "$1")"; printf "%s" "$(cat "$0") $2 $3 $4" > "$1"',
        ],
        args=[
            data.path,
            out,
            dsl.ConcatPlaceholder(["task-", dsl.PIPELINE_TASK_NAME_PLACEHOLDER]),
            dsl.IfPresentPlaceholder(input_name="name", then=["for", name], else_=["for nobody"]),
        ],
    )


@dsl.pipeline(name="collecting")
def collecting() -> int:
    with dsl.ParallelFor([1, 2, 3]) as a, dsl.ParallelFor([10, 20]) as b:
        made = number(x=b)
        with dsl.If(a > 1):
            number(x=a)
    return total(nums=dsl.Collected(made.output)).output


@dsl.pipeline(name="collecting-some")
def collecting_some() -> str:
    with dsl.ParallelFor([1, 2, 3]) as x:
        with dsl.If(x > 1):
            made = number(x=x)
    return shown(v=dsl.Collected(made.output)).output


@dsl.pipeline(name="parts")
def parts(items: List[Dict[str, int]] = [{"a": 5, "b": 6}]):  # noqa: B006
    with dsl.ParallelFor([{"a": 1}, {"a": 2}]) as i:
        number(x=i.a)
    with dsl.ParallelFor(maps().output) as i:
        text(s=f"v-{i.a}")
        with dsl.ParallelFor([1, 2]) as j:
            text(s=f"{i.b}/{j}")
            with dsl.If(i.a == 2):
                number(x=j)
    with dsl.ParallelFor(items) as i:
        text(s=f"w-{i.b}")


@dsl.pipeline(name="lists-of-lists")
def lists_of_lists():
    with dsl.ParallelFor(lists().output) as outer:
        with dsl.ParallelFor(outer) as y:
            number(x=y)
    with dsl.ParallelFor([[4, 5], [6]]) as outer:
        with dsl.ParallelFor(outer) as y:
            number(x=y)


@dsl.pipeline(name="each")
def each(data: dsl.Input[List[dsl.Dataset]]) -> List[int]:
    with dsl.ParallelFor(data) as one:
        found = read(data=one)
        words(data=one)
    return dsl.Collected(found.output)


@dsl.pipeline(name="artifacts")
def artifacts() -> str:
    with dsl.ParallelFor([1, 2, 3], parallelism=1) as x:
        written = write(x=x)
    return shown(v=each(data=dsl.Collected(written.outputs["out"])).output).output


class Both(NamedTuple):
    num: float
    data: dsl.Dataset


@dsl.pipeline(name="inner")
def inner(n: int, f: float = 0.5, s: Optional[str] = None) -> Both:
    written = write(x=n)
    given(a=s)
    return Both(plus(x=n, f=f).output, written.outputs["out"])


@dsl.pipeline(name="choosing")
def choosing(flag: bool = True, note: Optional[str] = None) -> dsl.Dataset:
    made = inner(n=3)
    given(a=note)
    with dsl.If(made.outputs["num"] > 3.2):
        x = write(x=7)
    with dsl.Else():
        y = write(x=8)
    one = dsl.OneOf(x.outputs["out"], y.outputs["out"])
    words(data=one, name="me")
    with dsl.If(flag == True):  # noqa: E712
        with dsl.If(flag != True):  # noqa: E712
            text(s="never")
    return one


@dsl.pipeline(name="branches")
def branches(n: int = 2, xs: List[int] = [1, 2], s: str = "its") -> str:  # noqa: B006
    with dsl.If(n == 2):
        with dsl.ParallelFor(xs) as x:
            flag = big(x=x)
            with dsl.If(flag.output == True):  # noqa: E712
                a = text(s="yes")
            with dsl.Else():
                b = text(s="no")
            text(s=dsl.OneOf(a.output, b.output))
    with dsl.If(s == "it"):
        q = text(s="it")
    with dsl.Elif(s != "its"):
        r = text(s="other")
    with dsl.Else():
        t = text(s="else")
    return dsl.OneOf(q.output, r.output, t.output)


@dsl.pipeline(name="nothing")
def nothing(xs: List[int] = []) -> int:  # noqa: B006
    with dsl.ParallelFor(xs) as x:
        a = number(x=x)
        with dsl.ParallelFor([1, 2]) as y:
            b = number(x=y).after(a)
    return total(nums=dsl.Collected(b.output)).output


@dsl.pipeline(name="ignoring")
def ignoring() -> str:
    failed = fail(x=1)
    return text(s=failed.output).ignore_upstream_failure().output


@dsl.pipeline(name="retrying")
def retrying() -> str:
    return late(x=1).set_retry(num_retries=3, backoff_duration="1s", backoff_factor=1).output


@dsl.pipeline
def fragile() -> str:
    # Each attempt of the pipeline has two of it.
    return late(x=1).set_retry(num_retries=1).output


@dsl.pipeline
def retrying_whole() -> str:
    return fragile().set_retry(num_retries=1).output


@dsl.component(
    base_image=IMAGE,
    task_config_passthroughs=[
        dsl.TaskConfigField.RESOURCES,
        dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
        dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
        dsl.TaskConfigPassthrough(
            field=dsl.TaskConfigField.KUBERNETES_VOLUMES, apply_to_task=True
        ),
    ],
)
def launched(config: dsl.TaskConfig) -> dict:
    import dataclasses
    import os

    assert os.environ["LEVEL"] == "high"
    assert os.path.isdir("/scratch")
    return {name: value for name, value in dataclasses.asdict(config).items() if value is not None}


@dsl.pipeline
def launching():
    # Its own pod would never find such a node.
    task = launched().set_cpu_limit("1000").set_accelerator_type("nvidia.com/gpu")
    task.set_accelerator_limit(64).set_env_variable("LEVEL", "high")
    kubernetes.add_node_selector(task, "disk", "none-such")
    kubernetes.add_toleration(task, "k", "Exists", effect="NoExecute")
    kubernetes.empty_dir_mount(task, "scratch", "/scratch")
