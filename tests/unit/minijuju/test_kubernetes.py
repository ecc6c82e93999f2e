"""What models have in Kubernetes, against a small API in this process."""

import asyncio
import base64
import datetime
import json
import stat
import time
import uuid

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lightkube.config.kubeconfig import KubeConfig

from minijuju import kubernetes


def authority():
    """A certificate of nobody, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


CA = authority()
UUID = "0d9a4f8e-aaaa-4bbb-8ccc-123456789abc"


def jwt(issued, expires, uid="u1"):
    claims = {"iat": issued, "exp": expires, "kubernetes.io": {"serviceaccount": {"uid": uid}}}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


class Api:
    """Objects by path, and the few verbs that are asked of them."""

    def __init__(self):
        self.objects = {}
        self.tokens = 0
        self.life = 3600.0
        self.linger = 0
        self.down = False

    def __call__(self, request):
        if self.down:
            raise httpx2.ConnectError("refused", request=request)
        path = request.url.path
        body = json.loads(request.content) if request.content else None
        if request.method == "POST" and path.endswith("/token"):
            return self.token(path.removesuffix("/token"))
        if request.method == "POST":
            return self.create(path, body)
        if request.method == "DELETE":
            return self.delete(path)
        if path in self.objects:
            return httpx2.Response(200, json=self.objects[path])
        if "labelSelector" in request.url.params:
            key, value = request.url.params["labelSelector"].split("=")
            items = [
                found
                for place, found in self.objects.items()
                if place.startswith(path + "/") and found["metadata"]["labels"].get(key) == value
            ]
            return httpx2.Response(200, json={"metadata": {}, "items": items})
        return self.status(404, "NotFound", f"{path} not found")

    def status(self, code, reason, message):
        body = {"kind": "Status", "code": code, "reason": reason, "message": message}
        return httpx2.Response(code, json=body)

    def create(self, path, body):
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            return self.status(409, "AlreadyExists", f"{place} already exists")
        self.objects[place] = body
        body["metadata"].setdefault("uid", str(uuid.uuid4()))
        return httpx2.Response(201, json=body)

    def delete(self, path):
        if path not in self.objects:
            return self.status(404, "NotFound", f"{path} not found")
        found = self.objects[path]
        if path.startswith("/api/v1/namespaces/") and path.count("/") == 4 and self.linger:
            found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            asyncio.get_running_loop().call_later(self.linger, self.objects.pop, path)
        else:
            del self.objects[path]
        return httpx2.Response(200, json={"kind": "Status", "status": "Success"})

    def token(self, account):
        self.tokens += 1
        uid = self.objects[account]["metadata"]["uid"]
        now = time.time()
        status = {
            "token": jwt(now, now + self.life, uid),
            "expirationTimestamp": "2027-01-01T00:00:00Z",
        }
        return httpx2.Response(201, json={"spec": {"audiences": []}, "status": status})

    def names(self, part=""):
        return sorted(path for path in self.objects if part in path)


def config(server="https://127.0.0.1:16443", **cluster):
    cluster.setdefault("certificate-authority-data", base64.b64encode(CA.encode()).decode())
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


@pytest.fixture
def api():
    return Api()


@pytest.fixture
async def cluster(api):
    made = kubernetes.Cluster(
        KubeConfig.from_dict(config()).get(), transport=httpx2.MockTransport(api)
    )
    yield made
    await made.close()


async def test_a_model_is_a_namespace(cluster, api):
    await cluster.ensure_namespace("ml", UUID)
    await cluster.ensure_namespace("ml", UUID)
    labels = api.objects["/api/v1/namespaces/ml"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "juju"
    assert labels["model.juju.is/name"] == "ml"


async def test_a_namespace_of_somebody_else_is_left_alone(cluster, api):
    api.create("/api/v1/namespaces", {"metadata": {"name": "ml"}})
    with pytest.raises(kubernetes.ClusterError, match="not this model's"):
        await cluster.ensure_namespace("ml", UUID)
    await cluster.remove_namespace("ml", UUID)
    assert "/api/v1/namespaces/ml" in api.objects


async def test_an_account_may_do_nothing_until_it_is_trusted(cluster, api):
    await cluster.ensure_namespace("ml", UUID)
    await cluster.ensure_service_account("ml", UUID, "db")
    assert api.names("clusterrolebindings") == []
    for _ in range(2):
        await cluster.set_trust("ml", UUID, "db", trusted=True)
    (place,) = api.names("clusterrolebindings")
    binding = api.objects[place]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "db", "namespace": "ml"}]
    role = api.objects[
        f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{binding['roleRef']['name']}"
    ]
    assert {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]} in role["rules"]
    for _ in range(2):
        await cluster.set_trust("ml", UUID, "db", trusted=False)
    assert api.names("clusterrolebindings") == []


async def test_the_identity_of_a_pod(cluster, api, tmp_path):
    folder = tmp_path / "identity"
    await cluster.ensure_service_account("ml", UUID, "db")
    await cluster.write_identity(folder, "ml", "db")
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "namespace", "token"]
    assert (folder / "ca.crt").read_text() == CA
    assert (folder / "namespace").read_text() == "ml"
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_good_token_is_kept_and_an_old_one_renewed(cluster, api, tmp_path):
    await cluster.ensure_service_account("ml", UUID, "db")
    for _ in range(2):
        left = await cluster.write_identity(tmp_path, "ml", "db")
    assert api.tokens == 1
    assert 0 < left <= api.life
    uid = api.objects["/api/v1/namespaces/ml/serviceaccounts/db"]["metadata"]["uid"]
    (tmp_path / "token").write_text(jwt(time.time() - 80, time.time() + 20, uid))
    await cluster.write_identity(tmp_path, "ml", "db")
    assert api.tokens == 2


async def test_an_account_made_anew_gets_another_token(cluster, api, tmp_path):
    await cluster.ensure_service_account("ml", UUID, "db")
    await cluster.write_identity(tmp_path, "ml", "db")
    await cluster.remove_service_account("ml", "db")
    await cluster.ensure_service_account("ml", UUID, "db")
    await cluster.write_identity(tmp_path, "ml", "db")
    assert api.tokens == 2


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "a.e30.c", "a.W10.c", jwt("now", None), "a.\xff.c", "a.MTI.c"]
)
def test_what_is_no_token_is_renewed_at_once(token):
    assert kubernetes.renewal(token, "u1") == 0


def test_a_token_is_renewed_when_a_third_of_its_life_is_left():
    assert kubernetes.renewal(jwt(1000, 1300), "u1") == 1200
    assert kubernetes.renewal(jwt(1000, 1300), None) == 1200
    assert kubernetes.renewal(jwt(1000, 1300), "another") == 0


async def test_keeping_an_identity_survives_an_outage(cluster, api, tmp_path, monkeypatch, caplog):
    await cluster.ensure_service_account("ml", UUID, "db")
    api.down = True
    pauses = []
    real = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        api.down = len(pauses) < 3
        await real(0)

    monkeypatch.setattr(kubernetes.asyncio, "sleep", sleep)
    task = asyncio.create_task(cluster.keep_identity(tmp_path, "ml", "db"))
    async with asyncio.timeout(10):
        while len(pauses) < 4:
            await real(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[3] > 60
    assert (tmp_path / "token").exists()
    assert "the API does not answer" in caplog.text


async def test_a_storage_is_a_volume_and_its_claim(cluster, api, tmp_path):
    arguments = ("ml", UUID, "db", "data", "db/0")
    name = await cluster.ensure_claim(*arguments, tmp_path)
    assert await cluster.ensure_claim(*arguments, tmp_path) == name
    claim = api.objects[f"/api/v1/namespaces/ml/persistentvolumeclaims/{name}"]
    volume = api.objects[f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"]
    assert volume["spec"]["hostPath"]["path"] == str(tmp_path)
    assert volume["spec"]["claimRef"]["name"] == name
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    for found in (claim, volume):
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "db"
        assert labels["app.kubernetes.io/managed-by"] == "juju"
        assert labels["storage.juju.is/name"] == "data"
    for _ in range(2):
        await cluster.remove_claim(*arguments)
    assert api.names("persistentvolume") == []


async def test_a_volume_on_another_folder_is_not_taken(cluster, tmp_path):
    await cluster.ensure_claim("ml", UUID, "db", "data", "db/0", tmp_path / "a")
    with pytest.raises(kubernetes.ClusterError, match="delete it"):
        await cluster.ensure_claim("ml", UUID, "db", "data", "db/0", tmp_path / "b")


def test_the_names_of_claims():
    first = kubernetes.claim_name(UUID, "db", "data", "db/0")
    second = kubernetes.claim_name(UUID, "db", "data", "db/1")
    prefix, digits = first.removesuffix("-db-0").rsplit("-", 1)
    assert prefix == "db-data"
    assert len(bytes.fromhex(digits)) == 4
    assert second == f"db-data-{digits}-db-1"
    assert digits not in kubernetes.claim_name(UUID[::-1], "db", "data", "db/0")


async def test_a_model_goes_with_all_that_it_has(cluster, api, tmp_path):
    api.linger = 0.01
    for model, number in (("ml", UUID), ("other", UUID[::-1])):
        await cluster.ensure_namespace(model, number)
        await cluster.ensure_service_account(model, number, "db")
        await cluster.set_trust(model, number, "db", trusted=True)
        await cluster.ensure_claim(model, number, "db", "data", "db/0", tmp_path)
    for _ in range(2):
        await cluster.remove_namespace("ml", UUID)
    assert "/api/v1/namespaces/ml" not in api.objects
    assert [path.rpartition("/")[2] for path in api.names("clusterrolebindings")] == ["other-db"]
    (volume,) = api.names("/persistentvolumes/")
    assert api.objects[volume]["metadata"]["labels"]["model.juju.is/name"] == "other"


async def test_a_namespace_that_does_not_go_is_told(cluster, api):
    api.linger = 3600
    await cluster.ensure_namespace("ml", UUID)
    with pytest.raises(kubernetes.ClusterError, match="was not gone in 0 s"):
        await cluster.remove_namespace("ml", UUID, wait=0.01)


async def test_a_refusal_says_what_was_asked(cluster, api, monkeypatch):
    monkeypatch.setattr(Api, "create", lambda *_: api.status(403, "Forbidden", "user u cannot"))
    with pytest.raises(kubernetes.ClusterError, match="cannot make the namespace ml: user u"):
        await cluster.ensure_namespace("ml", UUID)


async def test_an_api_that_is_down(cluster, api):
    api.down = True
    with pytest.raises(kubernetes.ClusterError, match="the API does not answer"):
        await cluster.ensure_service_account("ml", UUID, "db")


def test_where_pods_find_the_api(tmp_path):
    path = tmp_path / "config"
    path.write_text(json.dumps(config("https://k8s.example:8443")))
    cluster = kubernetes.Cluster.from_file(path)
    assert (cluster.host, cluster.port, cluster.ca) == ("k8s.example", 8443, CA)
    path.write_text(json.dumps(config("https://k8s.example")))
    assert kubernetes.Cluster.from_file(path).port == 443


def test_an_authority_in_a_file(tmp_path):
    (tmp_path / "ca.pem").write_text(CA)
    path = tmp_path / "config"
    document = config(**{"certificate-authority-data": None, "certificate-authority": "ca.pem"})
    path.write_text(json.dumps(document))
    assert kubernetes.Cluster.from_file(path).ca == CA


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be used"),
        ("", "cannot be used"),
        ("- a", "cannot be used"),
        ("a: [", "cannot be used"),
        (json.dumps({**config(), "current-context": "gone"}), "gone|cannot be used"),
        (json.dumps({**config(), "current-context": ""}), "no current context|cannot be used"),
        (json.dumps(config("http://127.0.0.1:80")), "is not https"),
        (json.dumps(config(**{"certificate-authority-data": None})), "no certificate authority"),
        (json.dumps(config(**{"certificate-authority-data": "%"})), "cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(tmp_path, text, problem):
    if text is not None:
        (tmp_path / "config").write_text(text)
    with pytest.raises(kubernetes.ClusterError, match=problem):
        kubernetes.Cluster.from_file(tmp_path / "config")
