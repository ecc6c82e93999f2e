"""Lines put together from pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit_jobs.lines import Lines


@given(st.lists(st.binary(max_size=6).map(lambda each: each.replace(b"x", b"\n"))))
def test_lines_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)] + lines.end()
    assert found == [line for line in b"".join(pieces).split(b"\n") if line.strip()]
    assert lines.end() == []


def test_a_line_is_given_as_soon_as_it_has_ended() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb") == [b"a"]
    assert lines.feed(b"") == []
    assert lines.feed(b"c\r\n\n\r\n") == [b"bc\r"]
    # What JSON may have in a string ends no line.
    told = "\u2028\u2029\x85\x0b\x0c\x1c".encode()
    assert lines.feed(told + b"\n") == [told]
