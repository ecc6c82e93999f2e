"""Katib's SDK as its guide has it: tune a function, look at it, change its budget, delete it.

A controller's part (a status, a trial) is played by the plain client. Prints what it saw as JSON.
"""

import json

from kubeflow import katib
from kubernetes import client

PLACE = ("kubeflow.org", "v1beta1", "default")
sdk = katib.KatibClient(namespace="default")
custom = client.CustomObjectsApi()


def objective(parameters):
    print(f"result={4 * int(parameters['a']) - float(parameters['b']) ** 2}")


sdk.tune(
    name="tune",
    objective=objective,
    parameters={
        "a": katib.search.int(min=10, max=20),
        "b": katib.search.double(min=0.1, max=0.2),
    },
    objective_metric_name="result",
    max_trial_count=12,
    resources_per_trial={"cpu": "1", "memory": "1Gi"},
)
seen = {
    "listed": [found.metadata.name for found in sdk.list_experiments()],
    "trials": sdk.get_experiment("tune").spec.max_trial_count,
    "created": sdk.is_experiment_created("tune"),
}
condition = {
    "type": "Running",
    "status": "True",
    "reason": "ExperimentRunning",
    "message": "Experiment is running",
    "lastUpdateTime": "2026-01-01T00:00:00Z",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
custom.patch_namespaced_custom_object_status(
    *PLACE, "experiments", "tune", {"status": {"conditions": [condition]}}
)
seen["running"] = sdk.is_experiment_running("tune")
sdk.edit_experiment_budget("tune", max_trial_count=20)
seen["budget"] = sdk.get_experiment("tune").spec.max_trial_count
owner = custom.get_namespaced_custom_object(*PLACE, "experiments", "tune")
custom.create_namespaced_custom_object(
    *PLACE,
    "trials",
    {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Trial",
        "metadata": {
            "name": "tune-1",
            "labels": {"katib.kubeflow.org/experiment": "tune"},
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": "tune",
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"parameterAssignments": [{"name": "a", "value": "12"}]},
    },
)
seen["of the experiment"] = [found.metadata.name for found in sdk.list_trials("tune")]
sdk.delete_experiment("tune")
seen["left"] = [found.metadata.name for found in sdk.list_experiments()]
print(json.dumps(seen))
