"""Pipelines as a user of the KFP SDK writes them."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

from typing import NamedTuple

from kfp import dsl

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def types(
    i: int, f: float, s: str, b: bool, items: list, table: dict, unset: str = "default"
) -> NamedTuple("Outputs", i=int, f=float, s=str, b=bool, items=list, table=dict, unset=str):
    return i, f, s, b, items, table, unset


@dsl.pipeline(name="types")
def all_types(i: int, f: float, s: str, b: bool, items: list, table: dict):
    types(i=i, f=f, s=s, b=b, items=items, table=table)


@dsl.component(base_image=IMAGE)
def make(
    rows: int,
    data: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.HTML],
    text: dsl.Output[dsl.Markdown],
    curve: dsl.Output[dsl.ClassificationMetrics],
    folder: dsl.Output[dsl.Artifact],
):
    import os

    print(f"making {rows} rows")
    with open(data.path, "w") as file:
        file.writelines(f"{row}\n" for row in range(rows))
    data.metadata["rows"] = rows
    metrics.log_metric("rows", rows)
    curve.log_roc_curve([0.0, 1.0], [0.0, 1.0], [0.5, 0.4])
    for each in (page, text):
        with open(each.path, "w") as file:
            file.write("# text")
    os.makedirs(folder.path)
    with open(os.path.join(folder.path, "part"), "w") as file:
        file.write("part")


@dsl.component(base_image=IMAGE)
def train(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> float:
    with open(data.path) as file:
        rows = [int(line) for line in file]
    with open(model.path, "w") as file:
        file.write("weights")
    model.metadata["framework"] = "none"
    return sum(rows) / len(rows)


@dsl.container_component
def shout(text: str, loud: dsl.OutputPath(str)):
    return dsl.ContainerSpec(
        image="alpine:3",
        command=["sh", "-c", 'mkdir -p "$(dirname "$1")" && echo "$0!" > "$1"'],
        args=[text, loud],
    )


@dsl.pipeline
def inner(rows: int) -> float:
    made = make(rows=rows)
    return train(data=made.outputs["data"]).outputs["Output"]


@dsl.pipeline(name="nested")
def nested(rows: int = 4) -> float:
    few = inner(rows=rows)
    shout(text="done").after(few)
    return few.output


@dsl.component(base_image=IMAGE)
def fail(message: str):
    raise RuntimeError(message)


@dsl.pipeline(name="failing")
def failing(message: str):
    first = fail(message=message)
    shout(text="never").after(first)


@dsl.component(base_image=IMAGE)
def sleep(seconds: int):
    import time

    print("sleeping", flush=True)
    time.sleep(seconds)


@dsl.pipeline(name="sleeping")
def sleeping(seconds: int = 600):
    sleep(seconds=seconds)
