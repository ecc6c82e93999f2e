"""Train three models on real data, keep the best one, and register it in MLflow.

The data is the Wisconsin breast cancer set of UCI, which scikit-learn ships: 569 samples, 30
numbers each, two classes. Everything here is what a user of Kubeflow Pipelines writes; nothing
knows where it runs.

    python pipeline.py                    # compile to breast-cancer.yaml
    python pipeline.py --submit URL       # and run it; the token is in KF_PIPELINES_TOKEN_FILE
"""

import argparse
import os
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl
from kfp.dsl import ClassificationMetrics, Dataset, Input, Metrics, Model, Output

IMAGE = "python:3.11"
LEARNING = ["pandas==2.3.3", "scikit-learn==1.7.2"]
REGISTRY = [*LEARNING, "mlflow-skinny==3.17.2", "skops==0.16.0"]

MODEL_NAME = "breast-cancer"


@dsl.component(base_image=IMAGE, packages_to_install=LEARNING)
def load_and_split(
    test_share: float, seed: int, train: Output[Dataset], test: Output[Dataset]
) -> int:
    """Load the data and split it; give the number of samples."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer(as_frame=True).frame
    parts = train_test_split(
        data, test_size=test_share, random_state=seed, stratify=data["target"]
    )
    for frame, artifact in zip(parts, (train, test), strict=True):
        frame.to_csv(artifact.path, index=False)
        artifact.metadata["rows"] = len(frame)
        artifact.metadata["columns"] = len(frame.columns)
    return len(data)


@dsl.component(base_image=IMAGE, packages_to_install=LEARNING)
def train_model(kind: str, seed: int, train: Input[Dataset], model: Output[Model]):
    """Fit one kind of model."""
    import pickle

    import pandas
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kinds = {
        "logistic-regression": lambda: make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed)
        ),
        "random-forest": lambda: RandomForestClassifier(n_estimators=100, random_state=seed),
        "gradient-boosting": lambda: HistGradientBoostingClassifier(random_state=seed),
    }
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, not {kind!r}")
    data = pandas.read_csv(train.path)
    fitted = kinds[kind]().fit(data.drop(columns="target"), data["target"])
    with open(model.path, "wb") as file:
        pickle.dump(fitted, file)
    model.framework = "scikit-learn"
    model.metadata["kind"] = kind


@dsl.component(base_image=IMAGE, packages_to_install=LEARNING)
def evaluate(
    model: Input[Model],
    test: Input[Dataset],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
) -> float:
    """Measure a model on the data it has not seen; give the area under its ROC curve."""
    import pickle

    import pandas
    from sklearn.metrics import (
        accuracy_score,
        confusion_matrix,
        f1_score,
        roc_auc_score,
        roc_curve,
    )

    data = pandas.read_csv(test.path)
    truth = data.pop("target")
    with open(model.path, "rb") as file:
        fitted = pickle.load(file)
    guesses = fitted.predict(data)
    scores = fitted.predict_proba(data)[:, 1]
    area = float(roc_auc_score(truth, scores))
    metrics.log_metric("roc_auc", area)
    metrics.log_metric("accuracy", float(accuracy_score(truth, guesses)))
    metrics.log_metric("f1", float(f1_score(truth, guesses)))
    false_rates, true_rates, thresholds = roc_curve(truth, scores)
    curves.log_roc_curve(
        false_rates.tolist(),
        true_rates.tolist(),
        # The first threshold is infinite: no score reaches it.
        [min(float(each), 1.0) for each in thresholds],
    )
    curves.log_confusion_matrix(["malignant", "benign"], confusion_matrix(truth, guesses).tolist())
    return area


@dsl.component(base_image=IMAGE)
def choose_best(
    first: Input[Model],
    second: Input[Model],
    third: Input[Model],
    first_score: float,
    second_score: float,
    third_score: float,
    best: Output[Model],
) -> NamedTuple("Choice", [("kind", str), ("score", float)]):  # type: ignore[valid-type]
    """Keep the model with the highest score."""
    import shutil
    from collections import namedtuple

    models = [(first_score, first), (second_score, second), (third_score, third)]
    score, model = max(models, key=lambda each: each[0])
    shutil.copyfile(model.path, best.path)
    best.metadata.update(model.metadata)
    best.metadata["roc_auc"] = score
    return namedtuple("Choice", ["kind", "score"])(model.metadata["kind"], score)


@dsl.component(base_image=IMAGE, packages_to_install=LEARNING)
def report(kind: str, model: Input[Model], test: Input[Dataset], page: Output[dsl.HTML]):
    """Draw the best model's ROC curve and its confusion matrix on one page."""
    import html
    import pickle

    import pandas
    from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

    data = pandas.read_csv(test.path)
    truth = data.pop("target")
    with open(model.path, "rb") as file:
        fitted = pickle.load(file)
    scores = fitted.predict_proba(data)[:, 1]
    false_rates, true_rates, _ = roc_curve(truth, scores)
    points = " ".join(
        f"{40 + 300 * x:.1f},{340 - 300 * y:.1f}"
        for x, y in zip(false_rates, true_rates, strict=True)
    )
    matrix = confusion_matrix(truth, fitted.predict(data)).tolist()
    names = ["malignant", "benign"]
    most = max(max(row) for row in matrix)
    rows = "".join(
        f"<tr><th>{name}</th>"
        + "".join(
            f'<td style="background: rgba(31, 119, 180, {value / most:.2f})">{value}</td>'
            for value in row
        )
        + "</tr>"
        for name, row in zip(names, matrix, strict=True)
    )
    heads = "".join(f"<th>{name}</th>" for name in names)
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Breast cancer: the best model</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto }}
figure {{ display: inline-block; margin: 0 2rem 1rem 0; vertical-align: top }}
td, th {{ padding: .6rem 1rem; text-align: center; font-weight: 500 }}
</style></head><body>
<h1>Breast cancer: the best model</h1>
<p><b>{html.escape(kind)}</b>, measured on {len(truth)} samples that it has not seen:
area under the ROC curve <b>{roc_auc_score(truth, scores):.4f}</b>.</p>
<figure><svg width="360" height="380" role="img" aria-label="ROC curve">
<rect x="40" y="40" width="300" height="300" fill="none" stroke="#999"/>
<line x1="40" y1="340" x2="340" y2="40" stroke="#bbb" stroke-dasharray="4"/>
<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/>
<text x="190" y="370" text-anchor="middle">false positive rate</text>
<text x="20" y="190" text-anchor="middle" transform="rotate(-90 20 190)">true positive rate</text>
</svg><figcaption>ROC curve</figcaption></figure>
<figure><table><tr><th></th>{heads}</tr>{rows}</table>
<figcaption>Confusion matrix: rows are the truth, columns the guess</figcaption></figure>
</body></html>
"""
    with open(page.path, "w", encoding="utf-8") as file:
        file.write(text)


@dsl.component(base_image=IMAGE, packages_to_install=REGISTRY)
def register(
    name: str,
    kind: str,
    score: float,
    pipeline_run: str,
    model: Input[Model],
    test: Input[Dataset],
) -> NamedTuple("Registered", [("name", str), ("version", str), ("uri", str)]):  # type: ignore[valid-type]
    """Register the model with its signature in the MLflow that the step's environment names."""
    import pickle
    from collections import namedtuple

    import mlflow
    import pandas
    import skops.io

    data = pandas.read_csv(test.path).drop(columns="target")
    with open(model.path, "rb") as file:
        fitted = pickle.load(file)
    signature = mlflow.models.infer_signature(data, fitted.predict(data))
    with mlflow.start_run(run_name=f"register {name}", tags={"kfp.pipeline_run": pipeline_run}):
        mlflow.log_param("kind", kind)
        mlflow.log_metric("roc_auc", score)
        logged = mlflow.sklearn.log_model(
            fitted,
            name="model",
            signature=signature,
            registered_model_name=name,
            # It was trained by this very run: what is in it is trusted.
            skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(fitted)),
            pip_requirements=["scikit-learn==1.7.2", "pandas==2.3.3", "skops==0.16.0"],
        )
    version = str(logged.registered_model_version)
    return namedtuple("Registered", ["name", "version", "uri"])(
        name, version, f"models:/{name}/{version}"
    )


@dsl.pipeline(name="breast-cancer", description="Train three models and register the best one.")
def breast_cancer(
    model_name: str = MODEL_NAME, test_share: float = 0.3, seed: int = 7
) -> NamedTuple("Outputs", [("version", str), ("score", float)]):  # type: ignore[valid-type]
    """The pipeline."""
    data = load_and_split(test_share=test_share, seed=seed)
    models, scores = [], []
    for kind in ("logistic-regression", "random-forest", "gradient-boosting"):
        trained = train_model(kind=kind, seed=seed, train=data.outputs["train"])
        trained.set_display_name(f"train {kind}")
        measured = evaluate(model=trained.outputs["model"], test=data.outputs["test"])
        measured.set_display_name(f"evaluate {kind}")
        models.append(trained.outputs["model"])
        scores.append(measured.outputs["Output"])
    best = choose_best(
        first=models[0],
        second=models[1],
        third=models[2],
        first_score=scores[0],
        second_score=scores[1],
        third_score=scores[2],
    )
    report(kind=best.outputs["kind"], model=best.outputs["best"], test=data.outputs["test"])
    registered = register(
        name=model_name,
        kind=best.outputs["kind"],
        score=best.outputs["score"],
        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        model=best.outputs["best"],
        test=data.outputs["test"],
    )
    outputs = namedtuple("Outputs", ["version", "score"])
    return outputs(registered.outputs["version"], best.outputs["score"])


def submit(client: Any, *, enable_caching: bool | None = None, **arguments: Any) -> Any:
    """Start a run of the pipeline and give it.

    Args:
        client: a `kfp.Client`.
        enable_caching: False to run every step again, whatever an earlier run gave.
        arguments: the pipeline's inputs (`model_name`, `test_share`, `seed`).

    Returns:
        What `kfp.Client.create_run_from_pipeline_func` gives; its `run_id` leads to the rest.
    """
    return client.create_run_from_pipeline_func(
        breast_cancer,
        arguments=arguments,
        experiment_name="breast-cancer",
        enable_caching=enable_caching,
    )


def main() -> int:
    """Compile the pipeline, and run it if an address is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", default="breast-cancer.yaml", help="where to write the IR YAML"
    )
    parser.add_argument("--submit", metavar="URL", help="the address of a pipelines service")
    options = parser.parse_args()
    compiler.Compiler().compile(breast_cancer, options.output)
    if not options.submit:
        return 0
    import kfp

    token = Path(os.environ["KF_PIPELINES_TOKEN_FILE"]).read_text().strip()
    client = kfp.Client(host=options.submit, existing_token=token)
    run = submit(client)
    ended = client.wait_for_run_completion(run.run_id, timeout=1800)
    print(ended.state)
    return 0 if ended.state == "SUCCEEDED" else 1


if __name__ == "__main__":
    sys.exit(main())
