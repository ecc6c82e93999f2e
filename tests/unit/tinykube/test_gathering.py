import asyncio

from tinykube.gathering import Gathering


class Wire(asyncio.Transport):
    """What reaches the transport, write by write."""

    def __init__(self):
        super().__init__({"socket": "its own"})
        self.sent = []

    def write(self, data):
        self.sent.append(bytes(data))

    def write_eof(self):
        self.sent.append("eof")

    def close(self):
        self.sent.append("closed")

    def abort(self):
        self.sent.append("aborted")

    def get_write_buffer_size(self):
        return 5


def wired():
    wire = Wire()
    return wire, Gathering(wire, asyncio.get_running_loop())


async def test_what_one_turn_writes_is_one_write():
    wire, gathering = wired()
    gathering.write(b"head")
    gathering.write(b"")
    gathering.writelines([b", ", bytearray(b"body")])
    assert wire.sent == []
    assert gathering.get_write_buffer_size() == 15
    await asyncio.sleep(0)
    assert wire.sent == [b"head, body"]
    gathering.write(b"next")
    await asyncio.sleep(0)
    assert wire.sent == [b"head, body", b"next"]


async def test_much_is_not_kept():
    wire, gathering = wired()
    gathering.write(b"a")
    gathering.write(b"b" * 65536)
    assert [len(each) for each in wire.sent] == [65537]
    gathering.write(b"c")
    await asyncio.sleep(0)
    assert wire.sent[1:] == [b"c"]


async def test_what_is_changed_by_its_writer_was_sent_as_it_was():
    wire, gathering = wired()
    data = bytearray(b"old")
    gathering.write(data)
    data[:] = b"new"
    await asyncio.sleep(0)
    assert wire.sent == [b"old"]


async def test_a_close_sends_the_rest_first():
    wire, gathering = wired()
    gathering.write(b"last")
    gathering.close()
    await asyncio.sleep(0)
    assert wire.sent == [b"last", "closed"]
    wire, gathering = wired()
    gathering.write(b"last")
    gathering.write_eof()
    assert wire.sent == [b"last", "eof"]


async def test_an_abort_sends_nothing():
    wire, gathering = wired()
    gathering.write(b"lost")
    gathering.abort()
    await asyncio.sleep(0)
    assert wire.sent == ["aborted"]
    assert gathering.get_extra_info("socket") == "its own"
