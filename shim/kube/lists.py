"""Lists as the API server sends them, read item by item: a whole one takes ten times its text in memory."""

import json
import re
from collections.abc import Iterator
from typing import Any

_ITEMS = "items"
_INK = re.compile(r"[^ \t\n\r]")
"""Anything but what JSON counts as white space."""


class ListReader:
    """The items in the text of a list; `rest` has its other members once all items have been read.

    Iterating raises `ValueError` for what is no JSON object.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()
        self._at = 0
        self.rest: dict[str, Any] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _ in self._members("{", "}"):
            key = self._value()
            self._take(":")
            if key == _ITEMS and self._next() == "[":
                for _ in self._members("[", "]"):
                    yield self._value()
            else:
                self.rest[key] = self._value()

    def _members(self, start: str, end: str) -> Iterator[None]:
        """Stand before each member of an object or a list in turn."""
        self._take(start)
        if self._next() == end:
            self._take(end)
            return
        while True:
            yield
            if self._next() == end:
                self._take(end)
                return
            self._take(",")

    def _value(self) -> Any:
        self._next()
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        return value

    def _next(self) -> str:
        """The next character that is no white space; empty at the end."""
        found = _INK.search(self._text, self._at)
        self._at = found.start() if found else len(self._text)
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> None:
        if self._next() != expected:
            raise ValueError(f"expected {expected!r} at character {self._at}")
        self._at += 1
