"""Who may do what."""

import lightkube
import pytest
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview
from lightkube.resources.core_v1 import ConfigMap, Secret, ServiceAccount, ServiceAccountToken
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def bot(server, client, namespace):
    """A client of the service account `bot`."""
    client.create(ServiceAccount(metadata=ObjectMeta(name="bot", namespace=namespace)))
    spec = TokenRequestSpec(audiences=[], expirationSeconds=3600)
    request = ServiceAccountToken(metadata=ObjectMeta(), spec=spec)
    token = client.create(request, "bot", namespace=namespace).status.token
    single = lightkube.KubeConfig.from_file(server).get()
    user = lightkube.config.models.User(token=token)
    made = lightkube.Client(lightkube.KubeConfig.from_one(user=user, cluster=single.cluster))
    yield made
    made.close()


@pytest.fixture
def grant(client, namespace):
    """Let the bot do what a rule says."""

    def bind(**rule):
        meta = ObjectMeta(name="role", namespace=namespace)
        client.create(Role(metadata=meta, rules=[PolicyRule(**rule)]))
        client.create(
            RoleBinding(
                metadata=meta,
                roleRef=RoleRef(apiGroup=RBAC, kind="Role", name="role"),
                subjects=[Subject(kind="ServiceAccount", name="bot", namespace=namespace)],
            )
        )

    return bind


def test_nothing_without_a_role(bot, namespace, refused):
    status = refused(lambda: list(bot.list(Secret, namespace=namespace)))
    assert (status.code, status.reason) == (403, "Forbidden")
    user = f"system:serviceaccount:{namespace}:bot"
    assert status.message == (
        f'secrets is forbidden: User "{user}" cannot list resource "secrets" in API group "" in '
        f'the namespace "{namespace}"'
    )


def test_what_a_role_says_and_no_more(client, bot, grant, namespace, refused, wait):
    for name in ("mine", "other"):
        client.create(Secret(metadata=ObjectMeta(name=name, namespace=namespace)))
    grant(verbs=["get"], apiGroups=[""], resources=["secrets"], resourceNames=["mine"])

    def may(verb, name):
        attributes = ResourceAttributes(
            verb=verb, resource="secrets", namespace=namespace, name=name
        )
        spec = SelfSubjectAccessReviewSpec(resourceAttributes=attributes)
        return bot.create(SelfSubjectAccessReview(spec=spec)).status.allowed

    # The real one takes a moment to hear of a role.
    wait(lambda: may("get", "mine"))
    assert bot.get(Secret, "mine", namespace=namespace)
    assert not may("get", "other")
    assert not may("update", "mine")
    assert refused(bot.get, Secret, "other", namespace=namespace).code == 403
    assert refused(bot.delete, Secret, "mine", namespace=namespace).code == 403


def test_nobody_grants_what_they_have_not(bot, grant, namespace, refused, wait):
    grant(verbs=["create"], apiGroups=[RBAC], resources=["roles"])
    rule = PolicyRule(verbs=["get"], apiGroups=[""], resources=["secrets"])
    meta = ObjectMeta(name="more", namespace=namespace)

    def escalation():
        status = refused(bot.create, Role(metadata=meta, rules=[rule]))
        return status if "attempting to grant" in status.message else None

    assert wait(escalation).code == 403


def test_a_deleted_account_is_nobody(client, bot, namespace, refused, wait):
    client.delete(ServiceAccount, "bot", namespace=namespace)

    def unknown():
        status = refused(bot.get, ConfigMap, "kube-root-ca.crt", namespace=namespace)
        return status if status.code == 401 else None

    assert wait(unknown).reason == "Unauthorized"
