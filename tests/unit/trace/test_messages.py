"""HTTP messages are told apart however their bytes come; what is no HTTP stops nothing but the telling."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.trace.messages import Direction, Message, may_have_body

REQUESTS = (
    b"POST /NetworkDriver.Join HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: z\r\n\r\n"
    b"GET /last HTTP/1.1\r\ncontent-length:0\r\n\r\n"
)
REQUESTED = [
    ("/NetworkDriver.Join", b"hello"),
    ("/Plugin.Activate", b""),
    ("/chunked", b"abc0123456789"),
    ("/last", b""),
]


class Seen:
    """What was told of one direction."""

    def __init__(self, *, is_answers: bool = False, method: str = "POST") -> None:
        self.begun = 0
        self.ended: list[Message] = []
        self._method = method
        self.direction = Direction(
            self._begin,
            self._head if is_answers else lambda _: True,
            self.ended.append,
            is_answers=is_answers,
        )

    def _begin(self) -> None:
        self.begun += 1

    def _head(self, message: Message) -> bool:
        return may_have_body(message, self._method)

    @property
    def bodies(self) -> list[tuple[str, bytes]]:
        """The second word of each message's first line, and its body."""
        return [(message.words[1], bytes(message.body)) for message in self.ended]


@given(st.lists(st.integers(0, len(REQUESTS)), max_size=12))
def test_messages_are_told_apart_however_their_bytes_come(cuts: list[int]) -> None:
    seen = Seen()
    edges = [0, *sorted(cuts), len(REQUESTS)]
    for start, end in itertools.pairwise(edges):
        seen.direction.passed(REQUESTS[start:end])

    assert seen.bodies == REQUESTED
    assert seen.begun == 4


def test_a_message_begins_with_its_first_byte_and_ends_with_its_last() -> None:
    seen = Seen()
    seen.direction.passed(REQUESTS[:1])
    assert (seen.begun, seen.ended) == (1, [])
    seen.direction.passed(REQUESTS[1 : REQUESTS.index(b"hello") + 4])
    assert seen.ended == []
    seen.direction.passed(b"o")
    assert seen.bodies == REQUESTED[:1]


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    seen = Seen(is_answers=True)
    seen.direction.passed(b"HTTP/1.0 200 OK\r\n\r\nall the ")
    seen.direction.passed(b"rest")
    assert seen.ended == []

    seen.direction.end()

    assert seen.bodies == [("200", b"all the rest")]


@pytest.mark.parametrize(
    ("status", "method"),
    [("204 No Content", "POST"), ("304 Not Modified", "GET"), ("200 OK", "HEAD"), ("100 Continue", "POST")],
)
def test_some_answers_have_no_body_whatever_their_head_says(status: str, method: str) -> None:
    seen = Seen(is_answers=True, method=method)
    seen.direction.passed(f"HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\n".encode())
    seen.direction.passed(b"HTTP/1.1 ")

    assert seen.bodies == [(status[:3], b"")]
    assert seen.begun == 2


def test_of_a_very_long_body_the_beginning_is_kept_and_the_next_message_is_seen() -> None:
    seen = Seen()
    size = 9 * 1024 * 1024
    seen.direction.passed(f"POST /long HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode())
    for _ in range(9):
        seen.direction.passed(b"x" * 1024 * 1024)
    seen.direction.passed(REQUESTS)

    assert [len(body) for _, body in seen.bodies] == [4 * 1024 * 1024, *(len(body) for _, body in REQUESTED)]


def test_after_the_protocol_was_switched_nothing_is_told_any_more() -> None:
    seen = Seen(is_answers=True)
    seen.direction.passed(
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    )

    assert seen.bodies == [("101", b"")]


@pytest.mark.parametrize(
    "content",
    [b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"x" * 100_000, b"\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_not_told_of_and_does_no_harm(content: bytes) -> None:
    seen = Seen(is_answers=True)
    seen.direction.passed(content)
    seen.direction.passed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    seen.direction.end()

    assert seen.ended == []


@given(st.lists(st.binary(max_size=200)), st.booleans())
def test_any_bytes_may_pass(pieces: list[bytes], is_answers: bool) -> None:  # noqa: FBT001
    seen = Seen(is_answers=is_answers)
    for piece in pieces:
        seen.direction.passed(piece)
    seen.direction.end()


def test_a_refusal_of_the_listener_ends_the_telling() -> None:
    def refuse(_: Message) -> bool:
        raise IndexError

    ended: list[Message] = []
    direction = Direction(lambda: None, refuse, ended.append, is_answers=False)
    direction.passed(REQUESTS)

    assert ended == []
