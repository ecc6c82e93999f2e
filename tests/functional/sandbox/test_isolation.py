"""Networks of their own: who reaches whom, and what is left when their keeper is killed."""

import asyncio
import os
import signal
import socket

import pytest

from sandbox import egress, entrance, execution, isolation
from sandbox.isolation import Isolation, Member
from sandbox.network import Subnet
from sandbox.proxy import Route
from sandbox.spec import Network

PATIENCE = 60
PORT = 8765
SERVE = """
import http.server, socketserver, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())
for port in sys.argv[2:]:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Answer)
    threading.Thread(target=server.serve_forever).start()
"""
ASK = """
import socket, sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
except OSError as error:
    print(f"none: {error}")
"""


@pytest.fixture(scope="module", autouse=True)
def possible():
    found = isolation.check()
    if not found.ok:
        pytest.skip(f"{found.found} {found.remedy}")


@pytest.fixture
def subnet(tmp_path):
    return Subnet.choose(tmp_path)


@pytest.fixture
async def keeper(tmp_path):
    made = Isolation(tmp_path / "network")
    yield made
    running = made.identity
    await made.stop()
    assert running is None or not running.alive()


@pytest.fixture
def server():
    """A server of the machine: by address, what answers there; its port."""
    opened = []

    async def make(address, text):
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + text)
            await writer.drain()
            writer.close()

        made = await asyncio.start_server(answer, address, 0)
        opened.append(made)
        return made.sockets[0].getsockname()[1]

    yield make
    for each in opened:
        each.close()


async def ask(container, url):
    """What a program in the container is answered."""
    async with asyncio.timeout(PATIENCE):
        running = await execution.execute(container, ["python3", "-c", ASK, url], stdout=True)
        try:
            return (await running.stdout.read()).decode().strip()
        finally:
            await running.close()


async def until(container, url, wanted):
    """Ask until the answer is the wanted one: who listens is seen a little later."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await ask(container, url)) != wanted:
            print(url, answer)
            await asyncio.sleep(0.2)


async def fetch(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).rpartition(b"\r\n\r\n")[2].decode()
    finally:
        writer.close()


async def fetched(address, port):
    """What answers there from the machine, once somebody does."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if answer := await fetch(address, port):
                    return answer
            except OSError as error:
                print(address, port, error)
            await asyncio.sleep(0.1)


def start(runner, keeper, name, ports=(80, PORT)):
    words = [str(port) for port in ports]
    network = Network(keeper.folder, name)
    return runner.start("python3", "-c", SERVE, name, *words, network=network)


async def test_members_bind_the_same_ports_and_reach_each_other(runner, keeper, subnet):
    one, two = subnet.nth(0), subnet.nth(1)
    members = [Member("one", one), Member("two", two)]
    assert await keeper.apply(subnet, members, [], []) == {}
    first, second = start(runner, keeper, "one"), start(runner, keeper, "two")
    await until(first, f"http://{two}:80/", "two")
    await until(second, f"http://{one}:80/", "one")
    await until(first, "http://127.0.0.1:80/", "one")
    assert await fetched(one, PORT) == "one"
    assert await fetched(two, PORT) == "two"


async def test_what_is_balanced_answers_members_below_1024_too(runner, keeper, subnet, server):
    one, service, shared = subnet.nth(0), subnet.service(()), subnet.nth(9)
    port = await server(shared, b"shared")
    route = Route(service, 80, ((one, 80), (shared, port)))
    assert await keeper.apply(subnet, [Member("one", one)], [route], []) == {}
    first = start(runner, keeper, "one")
    await until(first, f"http://{one}:80/", "one")
    answers = {await ask(first, f"http://{service}/") for _ in range(4)}
    assert answers == {"one", "shared"}


async def test_of_the_machine_only_subnets_and_gates_are_seen(runner, keeper, subnet, server):
    one = subnet.nth(0)
    secret, gate = await server("127.0.0.1", b"secret"), await server("127.0.0.1", b"gate")
    shared = await server(subnet.nth(9), b"shared")
    gates = [("127.0.0.1", gate)]
    assert await keeper.apply(subnet, [Member("one", one)], [], gates) == {}
    first = start(runner, keeper, "one")
    await until(first, f"http://{subnet.nth(9)}:{shared}/", "shared")
    assert await ask(first, f"http://127.0.0.1:{gate}/") == "gate"
    for address in ("127.0.0.1", subnet.gateway, one):
        answer = await ask(first, f"http://{address}:{secret}/")
        assert answer.startswith("none: "), answer
    interfaces = await ask_names(first)
    assert interfaces == {"lo", "eth0"}


async def ask_names(container):
    running = await execution.execute(
        container,
        ["python3", "-c", "import socket; print(*[name for _, name in socket.if_nameindex()])"],
        stdout=True,
    )
    try:
        return set((await running.stdout.read()).decode().split())
    finally:
        await running.close()


async def killed(keeper, subnet, running, program=""):
    """Kill the keeper and make another one around members: name, address, container of each."""
    before = keeper.identity
    os.kill(before.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        await keeper.ended()
    members = [
        Member(name, address, ((each.pid, each.start_ticks),)) for name, address, each in running
    ]
    assert await keeper.apply(subnet, members, [], [], program) == {}
    assert keeper.identity != before


async def test_a_killed_keeper_is_made_again_around_what_runs(runner, keeper, subnet):
    one, two = subnet.nth(0), subnet.nth(1)
    members = [Member("one", one), Member("two", two)]
    await keeper.apply(subnet, members, [], [])
    first, second = start(runner, keeper, "one"), start(runner, keeper, "two")
    await until(first, f"http://{two}:80/", "two")
    await killed(keeper, subnet, (("one", one, first), ("two", two, second)))
    await until(first, f"http://{two}:80/", "two")
    assert await fetched(one, PORT) == "one"
    # What starts now finds the same network.
    third = start(runner, keeper, "one", ports=(8081,))
    await until(third, "http://127.0.0.1:80/", "one")
    assert first.running()
    assert second.running()


# Asks the first name server for an address, and tells whether it answers anything.
RESOLVE = """
import socket
lines = [line.split() for line in open("/etc/resolv.conf")]
server = next(line[1] for line in lines if line[:1] == ["nameserver"])
question = bytes.fromhex("123401000001000000000000 07") + b"example" + bytes.fromhex("0000010001")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    asker.settimeout(2)
    for _ in range(10):
        try:
            asker.sendto(question, (server, 53))
            print(server, asker.recvfrom(512)[0][:2].hex())
            break
        except OSError as error:
            print(error)
"""


async def output(container, program):
    running = await execution.execute(container, ["python3", "-c", program], stdout=True)
    try:
        return (await running.stdout.read()).decode().split()
    finally:
        await running.close()


async def test_other_machines_are_reached_by_pasta(runner, keeper, subnet, server):
    program = egress.find()
    if not program:
        pytest.skip("this machine has no pasta")
    if "1234" not in await output(runner.start("sleep", "600"), RESOLVE):
        pytest.skip("this machine's name server does not answer")
    one, two = subnet.nth(0), subnet.nth(1)
    members = [Member("one", one), Member("two", two)]
    assert await keeper.apply(subnet, members, [], [], program) == {}
    first, second = start(runner, keeper, "one"), start(runner, keeper, "two")
    for each in (first, second):
        assert (await output(each, RESOLVE))[-2:] == [egress.RESOLVER, "1234"]
    # What was reached and what was not stays so.
    await until(first, f"http://{two}:80/", "two")
    assert await fetched(two, PORT) == "two"
    secret = await server("127.0.0.1", b"secret")
    for address in ("127.0.0.1", subnet.gateway, egress.RESOLVER):
        answer = await ask(first, f"http://{address}:{secret}/")
        assert answer.startswith("none: "), answer
    # A new keeper gives them a way anew.
    await killed(keeper, subnet, (("one", one, first), ("two", two, second)), program)
    assert (await output(second, RESOLVE))[-2:] == [egress.RESOLVER, "1234"]


async def test_a_member_that_goes_gives_its_address_back(runner, keeper, subnet, server):
    one = subnet.nth(0)
    await keeper.apply(subnet, [Member("one", one)], [], [])
    start(runner, keeper, "one")
    assert await fetched(one, PORT) == "one"
    await keeper.apply(subnet, [], [], [])
    with socket.create_server((one, PORT)):
        pass
    with pytest.raises(entrance.SandboxError, match="one has no network"):
        entrance.prefix(Network(keeper.folder, "one"), patience=0)
