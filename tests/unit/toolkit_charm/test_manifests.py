"""Manifests: rendered, applied, and deleted once nothing asks for them."""

import httpx2
import jinja2
import pytest
from lightkube import ApiError
from lightkube.resources.core_v1 import ConfigMap, ServiceAccount
from lightkube.resources.scheduling_v1 import PriorityClass

from toolkit_charm import Blocked
from toolkit_charm.manifests import Manifests

TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ app | tojson }}
  labels: {own: label}
data:
  text: {{ text | tojson }}
{% if priority %}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: {{ (model ~ "-" ~ app) | tojson }}
value: {{ priority }}
{% endif %}
"""


class Client:
    def __init__(self):
        self.objects = {}
        self.refuse = 0
        self.absent = set()

    def _check(self, kind):
        code = self.refuse or (404 if kind in self.absent else 0)
        if code:
            request = httpx2.Request("GET", "http://kubernetes")
            response = httpx2.Response(code, json={"code": code}, request=request)
            raise ApiError(request=request, response=response)

    def apply(self, made, *, force):
        assert force
        self._check(type(made))
        self.objects[type(made), made.metadata.namespace, made.metadata.name] = made

    def list(self, kind, *, labels, namespace=None):
        self._check(kind)
        return [
            each
            for (found, place, _), each in self.objects.items()
            if (found, place) == (kind, namespace)
            and labels.items() <= each.metadata.labels.items()
        ]

    def delete(self, kind, name, *, cascade, namespace=None):
        del self.objects[kind, namespace, name]


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def make(client, tmp_path):
    (tmp_path / "a.yaml.j2").write_text(TEMPLATE)

    def manifests(application="app", model="ml"):
        kinds = (ConfigMap, PriorityClass, ServiceAccount)
        return Manifests(client, application, model, tmp_path, kinds)

    return manifests


def test_objects_are_labelled_and_placed(client, make):
    make().apply({"text": 'a: {b}\n"', "priority": 5})
    config = client.objects[ConfigMap, "ml", "app"]
    assert config.data == {"text": 'a: {b}\n"'}
    assert config.metadata.labels == {
        "own": "label",
        "app.kubernetes.io/name": "app",
        "app.kubernetes.io/part-of": "charmed-ml-toolkit",
        "toolkit.canonical.com/kept-by": "ml.app",
    }
    assert client.objects[PriorityClass, None, "ml-app"].value == 5


def test_what_nothing_asks_for_goes(client, make):
    make().apply({"text": "", "priority": 5})
    make().apply({"text": "", "priority": 0})
    assert set(client.objects) == {(ConfigMap, "ml", "app")}


def test_what_others_keep_stays(client, make):
    make().apply({"text": "", "priority": 5})
    make("other").apply({"text": "", "priority": 5})
    make("app", "lab").apply({"text": "", "priority": 5})
    make().remove()
    assert {key[1:] for key in client.objects} == {
        ("ml", "other"),
        (None, "ml-other"),
        ("lab", "app"),
        (None, "lab-app"),
    }


def test_a_kind_that_the_cluster_has_not_has_nothing_to_delete(client, make):
    client.absent = {PriorityClass, ServiceAccount}
    make().apply({"text": "", "priority": 0})
    make().remove()
    assert not client.objects


def test_untrusted(client, make):
    client.refuse = 403
    with pytest.raises(Blocked, match="juju trust app --scope=cluster"):
        make().apply({"text": "", "priority": 0})
    with pytest.raises(Blocked, match="juju trust app --scope=cluster"):
        make().remove()


def test_other_errors_are_not_hidden(client, make):
    client.refuse = 500
    with pytest.raises(ApiError):
        make().apply({"text": "", "priority": 0})


def test_a_variable_that_is_not_given_is_an_error(make):
    with pytest.raises(jinja2.UndefinedError):
        make().apply({"text": ""})
