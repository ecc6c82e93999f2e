"""What bubblewrap is told of a command, and how output is split."""

import asyncio

import pytest

from minijuju import execution
from sandbox import bubblewrap
from sandbox.spec import Limits, Spec


@pytest.mark.parametrize("interactive", [False, True])
def test_a_command_dies_with_its_owner_and_is_not_pid_1(tmp_path, interactive):
    options = execution.arguments(Spec(("true",)), tmp_path, interactive=interactive)
    assert "--die-with-parent" in options
    assert "--as-pid-1" not in options
    assert "--unshare-pid" in options
    assert ("--new-session" in options) is not interactive


def test_a_word_of_the_environment_is_not_taken_for_an_option(tmp_path):
    spec = Spec(("true",), env={"WORD": "--as-pid-1", "OTHER": "--new-session"})
    options = execution.arguments(spec, tmp_path, interactive=True)
    assert options[options.index("WORD") + 1] == "--as-pid-1"
    assert options[options.index("OTHER") + 1] == "--new-session"


async def read(reading, *chunks):
    reader = asyncio.StreamReader()
    seen = []
    task = asyncio.create_task(
        reading(reader, "stdout", lambda stream, text: seen.append((stream, text)))
    )
    for chunk in chunks:
        reader.feed_data(chunk)
        await asyncio.sleep(0)
    reader.feed_eof()
    await asyncio.wait_for(task, 10)
    return [text for _, text in seen]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\n", b"c"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        (["é".encode()[:1], "é\n".encode()[1:]], ["é"]),
        ([b"\xff\n"], ["�"]),
        ([b"cut \xc3"], ["cut �"]),
        ([b"a\r\n"], ["a\r"]),
    ],
)
async def test_lines(chunks, lines):
    assert await read(execution.lines, *chunks) == lines


async def test_a_line_without_end_comes_in_pieces(monkeypatch):
    monkeypatch.setattr(execution, "LINE_BYTES", 10)
    pieces = await read(execution.lines, b"x" * 35 + b"\nend")
    assert "".join(pieces) == "x" * 35 + "end"
    assert pieces[-1] == "end"
    assert max(len(piece) for piece in pieces) < 20


async def test_exact_output_is_not_touched():
    assert "".join(await read(execution._pieces, b"a\n", b"\nb")) == "a\n\nb"


async def test_a_crowd_is_killed_and_told_of(monkeypatch):
    seen, killed = [], asyncio.Event()

    def crowded(roots, most):
        seen.append((roots(), most))
        return len(seen) == 2

    monkeypatch.setattr(execution, "LOOK", 0.001)
    monkeypatch.setattr(execution.limits, "crowded", crowded)
    with execution.Crowd(42, 100, killed.set) as crowd:
        crowd.check()
        await asyncio.wait_for(killed.wait(), 10)
    assert seen == [([42], 100)] * 2
    with pytest.raises(execution.CrowdedError, match="reached 100 processes and threads"):
        crowd.check()


async def test_who_may_have_any_number_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(execution, "LOOK", 0)
    monkeypatch.delattr(execution.limits, "crowded")
    with execution.Crowd(42, None, lambda: None) as crowd:
        await asyncio.sleep(0.01)
    crowd.check()


class Started:
    """A process that was started, as far as a start looks at it."""

    def __init__(self, words, options):
        self.words = words
        self.options = options
        self.ended = []

    def send_signal(self, number):
        self.ended.append(number)

    async def wait(self):
        assert self.ended


@pytest.fixture
def started(monkeypatch):
    """The processes that are started, in place of real ones."""
    found = []

    async def start(*words, **options):
        found.append(Started(words, options))
        return found[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    return found


NOWHERE = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}


async def test_a_command_on_the_machines_network_waits_for_no_thread(
    tmp_path, started, monkeypatch
):
    monkeypatch.delattr(asyncio, "to_thread")
    await execution.start(Spec(("true",)), tmp_path, ("true", "--now"), **NOWHERE)
    (process,) = started
    assert process.words[0] == str(bubblewrap.find())
    assert process.words[-3:] == ("--", "true", "--now")
    assert process.options["start_new_session"]
    assert not process.ended


async def test_one_whose_gate_is_not_opened_is_killed(tmp_path, started, monkeypatch):
    async def stuck(self):
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(execution.gate.Gate, "lifted", stuck)
    spec = Spec(("true",), limits=Limits(processes=100))
    with pytest.raises(PermissionError):
        await execution.start(spec, tmp_path, spec.command, **NOWHERE)
    assert started[0].ended
