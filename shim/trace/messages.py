"""HTTP messages out of the bytes that pass a proxy.

Nothing is asked of them but their framing, since they are passed on unchanged whatever is found here. Source:
RFC 9112.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http import HTTPStatus

_MOST_KEPT = 4 * 1024 * 1024
"""Bytes of a body that are kept."""
_LONGEST_HEAD = 64 * 1024
_LINE_END = b"\r\n"
_NO_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


@dataclass(slots=True)
class Message:
    """A request or an answer."""

    words: list[str]
    """Those of its first line."""
    headers: dict[str, str]
    """By their names in small letters; of several the last."""
    body: bytearray = field(default_factory=bytearray)
    """Its beginning, where it is very long."""

    @property
    def status(self) -> int:
        """That of an answer. Raises `ValueError`."""
        return int(self.words[1])


class Direction:
    """What passes in one direction of a connection. From where it is no HTTP on, nothing more is told.

    `begun` is told when a message begins, `headed` when all but its body is known, and returns whether a body
    may follow, `ended` when it is whole.
    """

    def __init__(
        self,
        begun: Callable[[], None],
        headed: Callable[[Message], bool],
        ended: Callable[[Message], None],
        *,
        is_answers: bool,
    ) -> None:
        self._begun = begun
        self._headed = headed
        self._ended = ended
        self._is_answers = is_answers
        self._buffer = bytearray()
        self._is_over = False
        self._parser: Generator[None, None, None] | None = self._parsed()
        next(self._parser)

    def passed(self, content: bytes) -> None:
        """These bytes have passed."""
        if self._parser:
            self._buffer += content
            self._go_on(self._parser)

    def end(self) -> None:
        """No more bytes will."""
        self._is_over = True
        if self._parser:
            self._go_on(self._parser)

    def _go_on(self, parser: Generator[None, None, None]) -> None:
        try:
            next(parser)
        except (StopIteration, ValueError, IndexError):  # the end, or no HTTP
            self._parser = None
            self._buffer.clear()

    def _parsed(self) -> Generator[None, None, None]:
        yield
        while True:
            while not self._buffer:
                yield
            self._begun()
            head = (yield from self._until(_LINE_END + _LINE_END)).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in head[1:])
            message = Message(
                head[0].split(), {name.strip().lower(): value.strip() for name, _, value in fields}
            )
            if self._headed(message):
                yield from self._body(message)
            self._ended(message)
            if self._is_answers and message.status == HTTPStatus.SWITCHING_PROTOCOLS:
                return

    def _body(self, message: Message) -> Generator[None, None, None]:
        if "chunked" in message.headers.get("transfer-encoding", "").lower():
            yield from self._chunks(message)
        elif "content-length" in message.headers:
            yield from self._take(message, int(message.headers["content-length"]))
        elif self._is_answers:
            while not self._is_over:
                yield from self._take(message, len(self._buffer))
                yield

    def _chunks(self, message: Message) -> Generator[None, None, None]:
        while size := int((yield from self._until(_LINE_END)).partition(b";")[0], 16):
            yield from self._take(message, size)
            yield from self._until(_LINE_END)
        while (yield from self._until(_LINE_END)):  # trailers
            pass

    def _until(self, end: bytes) -> Generator[None, None, bytes]:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise ValueError("no end of a line")
            yield
        content = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return content

    def _take(self, message: Message, count: int) -> Generator[None, None, None]:
        while count > 0:
            content = self._buffer[:count]
            del self._buffer[:count]
            count -= len(content)
            message.body += content[: _MOST_KEPT - len(message.body)]
            if count:
                yield


def may_have_body(answer: Message, method: str) -> bool:
    """Whether an answer to a request of that method has a body. Source: RFC 9112, section 6.3."""
    is_interim = answer.status < HTTPStatus.OK
    return not (is_interim or answer.status in _NO_BODY or method == "HEAD")
