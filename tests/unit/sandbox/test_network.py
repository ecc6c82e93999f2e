"""Addresses and names on loopback."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import network

SUBNET = network.Subnet(20)
numbers = st.integers(0, 127 * 256 + 254)


@given(st.sets(numbers, max_size=40))
def test_a_workload_gets_a_free_address_of_the_lower_half(taken):
    used = {f"127.20.{number // 256}.{number % 256}" for number in taken}
    address = SUBNET.workload(used)
    assert address not in used
    assert ipaddress.ip_address(address) in ipaddress.ip_network("127.20.0.0/17")
    assert address.rpartition(".")[2] not in ("0", "255")


@given(st.sets(numbers, max_size=40))
def test_a_service_gets_a_free_address_of_the_upper_half(taken):
    used = {f"127.20.{128 + number // 256}.{number % 256}" for number in taken}
    address = SUBNET.service(used)
    assert address not in used
    assert ipaddress.ip_address(address) in ipaddress.ip_network("127.20.128.0/17")


def test_workloads_and_services_do_not_take_addresses_from_each_other():
    assert SUBNET.workload([]) == "127.20.0.1"
    assert SUBNET.service(["127.20.0.1"]) == "127.20.128.1"


def test_an_address_given_back_rests():
    used = {SUBNET.workload([])}
    second = SUBNET.workload(used)
    assert SUBNET.workload({second}) == "127.20.0.3"


def test_after_the_last_address_come_the_free_ones_again():
    assert SUBNET.workload({"127.20.127.254"}) == "127.20.0.1"


def test_a_full_network_is_an_error():
    used = {f"127.20.{high}.{low}" for high in range(128) for low in range(1, 255)}
    with pytest.raises(network.NetworkError, match="all 32512 addresses for workloads are in use"):
        SUBNET.workload(used)


@pytest.mark.parametrize("number", [0, 15, 240, 256, -1])
def test_a_subnet_outside_the_range_is_refused(number):
    with pytest.raises(ValueError, match="between 16 and 239"):
        network.Subnet(number)


def test_the_same_folder_gets_the_same_network(tmp_path):
    first = network.Subnet.choose(tmp_path, listening=[])
    assert network.Subnet.choose(tmp_path, listening=["10.0.0.1", "127.0.0.53"]) == first
    assert network.Subnet.choose(tmp_path / "other", listening=[]) != first


def test_a_network_with_a_listener_is_passed_over(tmp_path):
    first = network.Subnet.choose(tmp_path, listening=[])
    second = network.Subnet.choose(tmp_path, listening=[f"127.{first.number}.3.4"])
    expected = network.FIRST if first.number == network.LAST else first.number + 1
    assert second.number == expected


def test_no_network_left_is_an_error(tmp_path):
    everywhere = [f"127.{number}.0.1" for number in range(256)]
    with pytest.raises(network.NetworkError):
        network.Subnet.choose(tmp_path, listening=everywhere)


def test_listening_addresses_are_read_from_the_kernels_table(tmp_path):
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        "   0: 0100147F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
        "   1: 0200147F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0\n"
    )
    assert network.listening_addresses(table) == {"127.20.0.1"}


def test_names_are_those_of_the_clusters_dns():
    assert network.dns_names("a", "n") == ("a", "a.n", "a.n.svc", "a.n.svc.cluster.local")


@given(st.integers(0, SUBNET.size - 1))
def test_addresses_by_number(index):
    address = SUBNET.nth(index)
    assert SUBNET.runs(address)
    assert not SUBNET.serves(address)


@pytest.mark.parametrize(
    ("address", "runs", "serves"),
    [
        ("127.20.127.254", True, False),
        ("127.20.128.1", False, True),
        ("127.21.128.1", False, False),
        ("127.20.128.0", False, False),
        ("10.20.128.1", False, False),
        ("None", False, False),
    ],
)
def test_whose_an_address_is(address, runs, serves):
    assert (SUBNET.runs(address), SUBNET.serves(address)) == (runs, serves)


def test_the_gateway_is_given_to_nobody():
    assert SUBNET.gateway == "127.20.127.255"
    assert not SUBNET.runs(SUBNET.gateway)
    assert not SUBNET.serves(SUBNET.gateway)
