"""Text of known width: one line holds so many characters of a font whose characters are all as wide."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WIDTH = 0.615
"""Of a character, in font sizes: at least that of any monospaced font in use."""
_ID = re.compile(r"\b[0-9a-f]{20,}\b")
_FOLDER = re.compile(r"(?<!\S)/\S*/(?=\S)")
_SHORT_ID = 12
_BREAKS = re.compile(r"[ \t\r\n\f\v]+")
NO_BREAK = "\N{NO-BREAK SPACE}"
"""A blank within a word."""


@dataclass(frozen=True, slots=True)
class Run:
    """Some text in one style."""

    text: str
    style: str = "ink"


Line = tuple[Run, ...]


def text_width(text: str, size: float) -> float:
    """The width of a text, in the unit of the font's `size`, or a little less."""
    return cells(text) * _WIDTH * size


def cells(text: str) -> int:
    """How many characters wide it is: those of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def fitting(pixels: float, size: float) -> int:
    """How many characters fit."""
    return max(1, int(pixels / (_WIDTH * size)))


def short(text: str) -> str:
    """A text with its IDs as docker shows them, and paths without their folders."""
    return _ID.sub(lambda found: found[0][:_SHORT_ID], _FOLDER.sub("", text))


def cut(text: str, most: int) -> str:
    """A text of so many characters at most; that it was longer is shown by an ellipsis."""
    if cells(text) <= most:
        return text
    kept = ""
    for letter in text:
        if cells(kept + letter) > most - 1:
            break
        kept += letter
    return kept + "\N{HORIZONTAL ELLIPSIS}"


def wrap(runs: Iterable[Run], most: int, lines: int) -> list[Line]:
    """The words of `runs` in at most so many lines of at most so many characters each."""
    words = [Run(word, run.style) for run in runs for word in _BREAKS.split(run.text) if word]
    wrapped: list[list[Run]] = []
    room = 0
    for word in words:
        if cells(word.text) + 1 > room:
            if len(wrapped) == lines:
                wrapped[-1] = _with_ellipsis(wrapped[-1], most)
                break
            wrapped.append([])
            room = most + 1
        wrapped[-1].append(Run(cut(word.text, most), word.style))
        room -= cells(wrapped[-1][-1].text) + 1
    return [tuple(line) for line in wrapped]


def _with_ellipsis(line: Sequence[Run], most: int) -> list[Run]:
    before = sum(cells(run.text) + 1 for run in line[:-1])
    last = line[-1]
    text = f"{last.text} \N{HORIZONTAL ELLIPSIS}"
    return [*line[:-1], Run(text if before + cells(text) <= most else cut(text, most - before), last.style)]
