"""kubectl, unmodified, does the same on both: what people type, and what it prints."""

from __future__ import annotations

import json
import subprocess

import pytest

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  nodeSelector: {{test.example.com/contract: here}}
  tolerations: [{{operator: Exists}}]
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - {{name: main, image: busybox, command: [sh, -c, "echo one; echo two; {then}"]}}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.kubectl.example.com}
spec:
  group: kubectl.example.com
  scope: Namespaced
  names: {kind: Gadget, plural: gadgets, singular: gadget, shortNames: [gd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 0, description: How large it is.}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


@pytest.fixture
def kubectl(program, server, namespace, tmp_path):
    """Run kubectl in the namespace; gives what it prints, or its error if it `fails`."""

    def run(*arguments, stdin="", fails=False):
        done = subprocess.run(
            [
                *(program("controlplane"), "kubectl", f"--kubeconfig={server}"),
                *(f"--namespace={namespace}", f"--cache-dir={tmp_path / 'cache'}", *arguments),
            ],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "KUBE_EDITOR": "true"},
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_create_get_and_describe(kubectl):
    assert kubectl("create", "configmap", "a", "--from-literal=x=1") == "configmap/a created\n"
    assert (
        kubectl("create", "secret", "generic", "s", "--from-literal=p=q") == "secret/s created\n"
    )
    assert kubectl("create", "serviceaccount", "bob") == "serviceaccount/bob created\n"
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.data.x}") == "1"
    header, row = kubectl("get", "cm", "a").splitlines()
    assert header.split() == ["NAME", "DATA", "AGE"]
    assert row.split()[:2] == ["a", "1"]
    assert json.loads(kubectl("get", "secret", "s", "-o", "json"))["data"] == {"p": "cQ=="}
    assert "x:\n----\n1\n" in kubectl("describe", "configmap", "a")
    refused = kubectl("create", "configmap", "a", fails=True)
    assert 'configmaps "a" already exists' in refused
    assert 'configmaps "b" not found' in kubectl("get", "cm", "b", fails=True)


def test_apply_on_the_client_and_on_the_server(kubectl):
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '%s'}\n"
    assert kubectl("apply", "-f", "-", stdin=config % 1) == "configmap/a created\n"
    assert kubectl("apply", "-f", "-", stdin=config % 1) == "configmap/a unchanged\n"
    assert kubectl("apply", "-f", "-", stdin=config % 2) == "configmap/a configured\n"
    wrong = config.replace("\ndata:", "\ndate:")
    assert 'unknown field "date"' in kubectl("apply", "-f", "-", stdin=wrong % 3, fails=True)
    options = ("apply", "--server-side", "--field-manager=me", "-f", "-")
    conflict = kubectl(*options, stdin=config % 3, fails=True)
    assert 'conflict with "kubectl-client-side-apply" using v1: .data.x' in conflict
    forced = kubectl(*options, "--force-conflicts", stdin=config % 3)
    assert forced == "configmap/a serverside-applied\n"
    assert kubectl("get", "cm", "a", "-o", "jsonpath={.data.x}") == "3"


def test_label_annotate_patch_edit_and_delete(kubectl):
    kubectl("create", "configmap", "a")
    assert kubectl("label", "cm", "a", "tier=one") == "configmap/a labeled\n"
    assert kubectl("annotate", "cm", "a", "note=x") == "configmap/a annotated\n"
    assert kubectl("patch", "cm", "a", "-p", '{"data":{"y":"2"}}') == "configmap/a patched\n"
    kubectl("edit", "cm", "a")  # the editor changes nothing
    assert kubectl("get", "cm", "-l", "tier=one", "-o", "name") == "configmap/a\n"
    assert 'configmap "a" deleted' in kubectl("delete", "cm", "-l", "tier=one")
    assert kubectl("get", "cm", "-l", "tier=one", "-o", "name") == ""


def test_a_pod_to_its_end(kubectl):
    kubectl("apply", "-f", "-", stdin=POD.format(name="p", then="exit 0"))
    done = kubectl("wait", "pod/p", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert done == "pod/p condition met\n"
    assert kubectl("logs", "p") == "one\ntwo\n"
    assert kubectl("logs", "p", "--tail=1") == "two\n"
    header, row = kubectl("get", "pod", "p").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["p", "0/1", "Completed", "0"]
    described = kubectl("describe", "pod", "p")
    assert "Started container main" in described or "Container started" in described
    assert "deleted" in kubectl("delete", "pod", "p")


def test_logs_follow_to_the_end(kubectl):
    kubectl("apply", "-f", "-", stdin=POD.format(name="p", then="sleep 2; echo three"))
    kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=60s")
    assert kubectl("logs", "-f", "p") == "one\ntwo\nthree\n"


def test_a_job(kubectl, namespace):
    job = kubectl(
        *("create", "job", "j", "--image=busybox", "--dry-run=client", "-o", "json"),
        *("--", "sh", "-c", "echo done"),
    )
    body = json.loads(job)
    body["spec"]["template"]["spec"] |= {
        "nodeSelector": {"test.example.com/contract": "here"},
        "tolerations": [{"operator": "Exists"}],
    }
    assert kubectl("create", "-f", "-", stdin=json.dumps(body)) == "job.batch/j created\n"
    kubectl("wait", "job/j", "--for=condition=Complete", "--timeout=60s")
    assert kubectl("logs", "job/j") == "done\n"
    # By a typed client, which sends protobuf.
    assert (
        kubectl("create", "job", "k", "--image=busybox", "--", "true") == "job.batch/k created\n"
    )
    command = "jsonpath={.spec.template.spec.containers[0].command[0]}"
    assert kubectl("get", "job", "k", "-o", command) == "true"


def test_rights(kubectl, namespace):
    kubectl("create", "serviceaccount", "bob")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "bob", "--role=reader", f"--serviceaccount={namespace}:bob")
    bob = f"--as=system:serviceaccount:{namespace}:bob"
    assert kubectl("auth", "can-i", "list", "pods", bob) == "yes\n"
    refused = kubectl("create", "configmap", "a", bob, fails=True)
    assert 'cannot create resource "configmaps"' in refused
    assert f"system:serviceaccount:{namespace}:bob" in kubectl("auth", "whoami", bob)
    assert kubectl("create", "token", "bob").count(".") == 2


def test_definitions_explain_and_scale(kubectl):
    kubectl("apply", "-f", "-", stdin=DEFINITION)
    try:
        kubectl("wait", "crd/gadgets.kubectl.example.com", "--for=condition=Established")
        gadget = "apiVersion: kubectl.example.com/v1\nkind: Gadget\nmetadata: {name: g}\n"
        kubectl("apply", "-f", "-", stdin=gadget + "spec: {size: 1}\n")
        header, row = kubectl("get", "gd").splitlines()
        assert (header.split(), row.split()) == (["NAME", "SIZE"], ["g", "1"])
        assert (
            kubectl("scale", "gadgets/g", "--replicas=3")
            == "gadget.kubectl.example.com/g scaled\n"
        )
        assert kubectl("get", "gd", "g", "-o", "jsonpath={.spec.size}") == "3"
        assert "How large it is." in kubectl("explain", "gadget.spec.size")
        wrong = kubectl("apply", "-f", "-", stdin=gadget + "spec: {size: -1}\n", fails=True)
        assert "spec.size" in wrong
        assert "should be greater than or equal to 0" in wrong
    finally:
        kubectl("delete", "crd", "gadgets.kubectl.example.com")
    assert "FIELD: restartPolicy <string>" in kubectl("explain", "pod.spec.restartPolicy")
    assert "configmaps" in kubectl("api-resources", "--namespaced=true", "-o", "name")
