"""The balancing process, its parts in this process."""

import asyncio
import contextlib
import json

import pytest

from sandbox import balancer


@pytest.fixture
def addresses(request):
    """Loopback addresses that no other worker of this test run uses."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw200")
    number = int(worker.removeprefix("gw"))
    return [f"127.240.{number}.{low}" for low in range(1, 10)]


@contextlib.asynccontextmanager
async def echo(name, address, port=0):
    """A server that answers with its name and all that it was sent."""

    async def answer(reader, writer):
        data = await reader.read()
        writer.write(name + data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, address, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def balancing(folder, routes):
    (folder / "routes.json").write_text(json.dumps({"generation": 1, "routes": routes}))
    served = balancer.Balancer(str(folder))
    await served.load()
    try:
        yield served
    finally:
        for route in served.routes.values():
            route.close()


def route(listen, port, targets):
    return {"listen": listen, "port": port, "targets": [[target, port] for target in targets]}


async def ask(address, port, data=b""):
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_units_take_turns(tmp_path, addresses):
    service, one, two = addresses[:3]
    async with (
        echo(b"1", one) as port,
        echo(b"2", two, port),
        balancing(tmp_path, [route(service, port, [one, two])]),
    ):
        answers = [await ask(service, port) for _ in range(4)]
    assert answers == [b"1", b"2", b"1", b"2"]


async def test_a_unit_that_refuses_is_passed_over(tmp_path, addresses):
    service, one, two = addresses[:3]
    async with (
        echo(b"1", one) as port,
        balancing(tmp_path, [route(service, port, [two, one])]),
    ):
        assert [await ask(service, port) for _ in range(2)] == [b"1", b"1"]


@pytest.mark.parametrize("targets", [[], ["nobody"]])
async def test_without_a_unit_the_client_is_cut_off(tmp_path, addresses, targets):
    service, nobody = addresses[:2]
    async with (
        echo(b"1", addresses[3]) as port,
        balancing(tmp_path, [route(service, port, targets and [nobody])]),
    ):
        assert await ask(service, port) == b""


async def test_much_data_goes_through_whole_in_both_directions(tmp_path, addresses):
    service, one = addresses[:2]
    data = bytes(range(256)) * 20_000
    async with echo(b"", one) as port, balancing(tmp_path, [route(service, port, [one])]):
        assert await ask(service, port, data) == data


async def test_open_connections_survive_other_routes(tmp_path, addresses):
    service, one = addresses[:2]
    async with (
        echo(b"still ", one) as port,
        balancing(tmp_path, [route(service, port, [one])]) as served,
    ):
        reader, writer = await asyncio.open_connection(service, port)
        writer.write(b"he")
        await writer.drain()
        # A second connection proves that the first one was accepted.
        await ask(service, port)
        (tmp_path / "routes.json").write_text('{"generation": 2, "routes": []}')
        await served.load()
        with pytest.raises(ConnectionRefusedError):
            await ask(service, port)
        writer.write(b"re")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b"still here"
        writer.close()
        await writer.wait_closed()


async def test_a_port_in_use_is_reported_and_the_rest_served(tmp_path, addresses):
    service, one = addresses[:2]
    async with echo(b"1", one) as port, echo(b"other", service) as taken:
        routes = [route(service, taken, [one]), route(service, port, [one])]
        async with balancing(tmp_path, routes):
            answer = json.loads((tmp_path / "applied.json").read_text())
            assert answer == {
                "generation": 1,
                "failed": {f"{service}:{taken}": "Address already in use"},
            }
            assert await ask(service, port) == b"1"


@contextlib.asynccontextmanager
async def shadowed(folder, service, unit):
    """A route that waits: a program had its port on all addresses, and has ended."""
    async with contextlib.AsyncExitStack() as program:
        port = await program.enter_async_context(echo(b"it", "0.0.0.0"))
        async with balancing(folder, [route(service, port, [unit])]) as served:
            assert list(served.failed.values()) == ["Address already in use"]
            # It answers at the service's address by itself.
            assert await ask(service, port) == b"it"
            await program.aclose()
            yield served, port


async def test_who_listens_on_all_addresses_keeps_the_port_while_it_starts_anew(
    tmp_path, addresses
):
    service, unit = addresses[:2]
    async with shadowed(tmp_path, service, unit) as (served, port):
        await served.load()
        assert list(served.failed.values()) == ["Address already in use"]
        async with echo(b"it again", "0.0.0.0", port):
            assert await ask(service, port) == b"it again"


async def test_what_was_in_use_is_listened_on_once_a_unit_has_an_address_of_its_own(
    tmp_path, addresses
):
    service, unit = addresses[:2]
    async with shadowed(tmp_path, service, unit) as (served, port), echo(b"one", unit, port):
        await served.load()
        assert served.failed == {}
        assert await ask(service, port) == b"one"


async def test_where_units_are_elsewhere_what_was_in_use_is_tried_again(tmp_path, addresses):
    async with shadowed(tmp_path, addresses[0], "192.0.2.1") as (served, _):
        await served.load()
        assert served.failed == {}


async def test_what_comes_before_a_unit_is_reached_is_not_lost(tmp_path, addresses, monkeypatch):
    """asyncio of Python 3.11.2 reads on although `connection_made` paused it."""
    front, unit, *_ = addresses
    transport = asyncio.selector_events._SelectorSocketTransport
    monkeypatch.setattr(transport, "pause_reading", lambda _self: None)
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def slowly(*arguments, **options):
        if arguments[0] is balancer.Half:
            await asyncio.sleep(0.1)
        return await connect(*arguments, **options)

    monkeypatch.setattr(loop, "create_connection", slowly)
    async with echo(b"one ", unit) as port, balancing(tmp_path, [route(front, port, [unit])]):
        assert await ask(front, port, b"early bytes") == b"one early bytes"
