from __future__ import annotations

from tinykube.node.neighbours import Names, Neighbours, Service

NAMES = Names(
    (
        Service("kubernetes", "default", "127.0.0.1", ports=(("https", 6443, "TCP"),)),
        Service("my-db", "ml", "127.20.128.1", ports=(("sql", 5432, "TCP"), ("", 80, "TCP"))),
        Service("peers", "ml", pods=(("127.20.0.1", "p-0"), ("127.20.0.2", ""))),
        Service("alias", "ml", external="my-db.ml.svc.cluster.local"),
        Service("away", "ml", external="example.com"),
    )
)


def test_names_as_a_neighbour_sees_them():
    hosts = NAMES.hosts("ml")
    assert hosts["127.20.128.1"] == (
        "my-db",
        "my-db.ml",
        "my-db.ml.svc",
        "my-db.ml.svc.cluster.local",
        "alias",
        "alias.ml",
        "alias.ml.svc",
        "alias.ml.svc.cluster.local",
    )
    assert hosts["127.20.0.1"][:4] == (
        "p-0.peers",
        "p-0.peers.ml",
        "p-0.peers.ml.svc",
        "p-0.peers.ml.svc.cluster.local",
    )
    assert hosts["127.20.0.2"][0] == "peers"
    assert "kubernetes" not in hosts["127.0.0.1"]
    assert "kubernetes.default.svc" in hosts["127.0.0.1"]
    assert not any("away" in names for names in hosts.values())


def test_another_namespace_needs_the_namespaces_name():
    assert NAMES.hosts("other")["127.20.128.1"][0] == "my-db.ml"


def test_variables_are_those_of_a_kubelet():
    assert NAMES.links("ml") == {
        "MY_DB_SERVICE_HOST": "127.20.128.1",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT": "tcp://127.20.128.1:5432",
        "MY_DB_PORT_5432_TCP": "tcp://127.20.128.1:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "127.20.128.1",
        "MY_DB_PORT_80_TCP": "tcp://127.20.128.1:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "127.20.128.1",
    }
    assert NAMES.links("other") == {}


def test_a_pods_own_names_come_first():
    merged = Neighbours(NAMES).hosts("ml", {"127.20.0.1": ("p-0",), "10.0.0.1": ("box",)})
    assert merged["127.20.0.1"][:2] == ("p-0", "p-0.peers")
    assert merged["10.0.0.1"] == ("box",)
