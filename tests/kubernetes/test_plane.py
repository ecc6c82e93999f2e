"""The control plane of these tests is what they take it for."""

import subprocess

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Secret, ServiceAccount


def test_everything_runs(plane):
    names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    assert [name for name, process in plane.processes.items() if process.running()][:4] == names


def test_kubectl_is_of_the_same_build(plane):
    done = subprocess.run(
        plane.kubectl("version", "--output=yaml"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.count("gitVersion: v1.37.2") == 2


def test_rights_are_checked(plane):
    admin = plane.client()
    admin.create(Namespace(metadata=ObjectMeta(name="rights")))
    admin.create(ServiceAccount(metadata=ObjectMeta(name="bot")), namespace="rights")
    bot = plane.client(plane.account("bot", "rights"))
    try:
        with pytest.raises(ApiError) as caught:
            list(bot.list(Secret, namespace="rights"))
        assert caught.value.status.code == 403
    finally:
        bot.close()
        admin.close()


def test_what_it_starts_ends_with_it(plane):
    process = plane.run("sleep", ["sleep", "600"])
    process.stop()
    assert not process.running()
    del plane.processes["sleep"]


def test_a_program_that_ends_is_told_with_its_words(plane):
    process = plane.run("wrong", ["sh", "-c", "echo no such option; exit 3"])
    with pytest.raises(RuntimeError, match=r"(?s)wrong ended with 3.*no such option"):
        process.wait_until(lambda: False)
    del plane.processes["wrong"]
