"""KServe's SDK as its guide has it: create, get, patch, replace, wait, watch, delete.

The controller's part (a status) is played by the plain client. Prints what it saw as JSON.
"""

import contextlib
import io
import json
import os
import sys

from kserve import (
    KServeClient,
    V1beta1InferenceService,
    V1beta1InferenceServiceSpec,
    V1beta1PredictorSpec,
    V1beta1SKLearnSpec,
)
from kubernetes import client

PLACE = ("serving.kserve.io", "v1beta1", "default", "inferenceservices")
sdk = KServeClient(config_file=os.environ["KUBECONFIG"])
model = V1beta1SKLearnSpec(storage_uri="s3://models/iris")
service = V1beta1InferenceService(
    api_version="serving.kserve.io/v1beta1",
    kind="InferenceService",
    metadata=client.V1ObjectMeta(name="iris", namespace="default"),
    spec=V1beta1InferenceServiceSpec(predictor=V1beta1PredictorSpec(sklearn=model)),
)
seen = {"created": sdk.create(service)["spec"]["predictor"]}
model.storage_uri = "s3://models/iris-2"
seen["patched"] = sdk.patch("iris", service, namespace="default")["metadata"]["generation"]
sdk.get("iris", namespace="default")
seen["replaced"] = sdk.replace("iris", service, namespace="default")["metadata"]["generation"]
status = {
    "url": "http://iris.default.example.com",
    "observedGeneration": 2,
    "conditions": [{"type": "Ready", "status": "True"}],
}
client.CustomObjectsApi().patch_namespaced_custom_object_status(*PLACE, "iris", {"status": status})
seen["ready"] = sdk.is_isvc_ready("iris", namespace="default")
sdk.wait_isvc_ready("iris", namespace="default", timeout_seconds=10, polling_interval=1)
with contextlib.redirect_stdout(io.StringIO()) as table:
    sdk.get("iris", namespace="default", watch=True, timeout_seconds=5)
seen["watched"] = table.getvalue()
model.storage_uri = None
service.metadata = client.V1ObjectMeta(name="broken", namespace="default")
try:
    sdk.create(service)
except RuntimeError as error:
    seen["refused"] = str(error)
sdk.delete("iris", namespace="default")
try:
    sdk.get("iris", namespace="default")
except RuntimeError as error:
    seen["gone"] = "404" in str(error)
sys.stdout.write(json.dumps(seen))
