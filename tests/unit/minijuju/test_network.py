"""Names and routes of units and applications."""

from minijuju import network
from sandbox.proxy import Route


def test_hosts_are_those_of_the_clusters_dns():
    names = network.hosts(
        "ml",
        [
            network.Service("db", "127.20.128.2", {"db/10": "127.20.0.9", "db/2": "127.20.0.2"}),
            network.Service("api", "127.20.128.1", {}),
        ],
    )
    assert names["127.20.128.1"] == ("api", "api.ml", "api.ml.svc", "api.ml.svc.cluster.local")
    assert names["127.20.0.2"] == (
        "db-2.db-endpoints",
        "db-2.db-endpoints.ml",
        "db-2.db-endpoints.ml.svc",
        "db-2.db-endpoints.ml.svc.cluster.local",
        "db-endpoints",
        "db-endpoints.ml",
        "db-endpoints.ml.svc",
        "db-endpoints.ml.svc.cluster.local",
    )
    assert list(names) == ["127.20.128.1", "127.20.128.2", "127.20.0.2", "127.20.0.9"]


def test_an_application_is_balanced_on_the_ports_that_its_units_opened():
    found = network.routes(
        "127.20.128.1",
        {
            "a/0": ["80/tcp", "53/udp", "icmp"],
            "a/1": ["80/tcp", "8000-8001/tcp"],
            "a/2": ["80/tcp"],
        },
        {"a/0": "127.20.0.1", "a/1": "127.20.0.2"},
    )
    assert found == [
        Route("127.20.128.1", 80, (("127.20.0.1", 80), ("127.20.0.2", 80))),
        Route("127.20.128.1", 8000, (("127.20.0.2", 8000),)),
        Route("127.20.128.1", 8001, (("127.20.0.2", 8001),)),
    ]
