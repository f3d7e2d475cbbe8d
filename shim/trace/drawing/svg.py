"""The elements of an SVG picture, and how they look on a light screen, on a dark one, and in print.

Colours are given by class and not by CSS variables, which some viewers do not know. All is below one class,
so that several pictures may be parts of one page.
"""

import re
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

from shim.trace.drawing.words import Line, text_width

ROOT = "cnm-trace"
"""The class of the picture."""

LABEL_SIZE, HEAD_SIZE, TITLE_SIZE = 12, 13, 18
"""Pixels."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold. Source: XML 1.0, section 2.2."""

_FONT = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "faint": "#59636e",
    "line": "#d1d9e0",
    "gap": "#eef1f4",
    "call": "#0550ae",
    "work": "#59636e",
    "plugin": "#116329",
    "kernel": "#7a4b00",
    "engine": "#0b6b77",
    "kubernetes": "#6639ba",
    "error": "#c1121f",
}
_DARK = {
    "paper": "#0d1117",
    "ink": "#e6edf3",
    "faint": "#9198a1",
    "line": "#30363d",
    "gap": "#1b222b",
    "call": "#79c0ff",
    "work": "#9198a1",
    "plugin": "#7ee787",
    "kernel": "#e3b341",
    "engine": "#56d4dd",
    "kubernetes": "#d2a8ff",
    "error": "#ff7b72",
}


def picture(size: tuple[float, float], title: str, description: str, parts: Iterable[str], name: str) -> str:
    """The whole picture of that width and height; `name` tells it from others on the same page."""
    width, height = map(_number, size)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{ROOT}" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-labelledby="{name}-title {name}-description">\n'
        f'<title id="{name}-title">{_text(title)}</title>\n'
        f'<desc id="{name}-description">{_text(description)}</desc>\n'
        f"<style>{_STYLE}</style>\n"
        f"{rectangle(0, 0, *size, 'paper')}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def group(title: str, parts: Iterable[str], style: str) -> str:
    """Parts that belong together, in one style, with what is shown when somebody points at them."""
    return f"<g class={quoteattr(style)}><title>{_text(title)}</title>{''.join(parts)}</g>"


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """A rectangle."""
    return (
        f'<rect class={quoteattr(style)} x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" '
        f'height="{_number(height)}"/>'
    )


def line(points: Iterable[tuple[float, float]], style: str) -> str:
    """A line through points."""
    return f'<polyline class={quoteattr(style)} points="{_path(points)}"/>'


def arrow(start: float, end: float, y: float) -> str:
    """A level line from x to x, with a head at its end."""
    neck = end - 7 if end > start else end + 7
    head = _path(((end, y), (neck, y - 3.5), (neck, y + 3.5)))
    return f'{line(((start, y), (neck, y)), "arrow")}<polygon points="{head}"/>'


def text(
    x: float, centre: float, runs: Line, *, size: float = LABEL_SIZE, anchor: str = "start", on: str = "paper"
) -> str:
    """A line of text at a height, which hides what is behind it; `anchor` is what of it is at x."""
    width = text_width(" ".join(run.text for run in runs), size)
    left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    spans = " ".join(f"<tspan class={quoteattr(run.style)}>{_text(run.text)}</tspan>" for run in runs)
    return (
        f"{rectangle(left - 2, centre - 0.55 * size, width + 4, 1.1 * size, on)}"
        f'<text x="{_number(x)}" y="{_number(centre + 0.36 * size)}" font-size="{_number(size)}" '
        f'text-anchor="{anchor}">{spans}</text>'
    )


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _text(content: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", content))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _colours(colours: Mapping[str, str]) -> str:
    return "".join(f".{ROOT} .{style}{{color:{colour}}}" for style, colour in colours.items())


_STYLE = (
    f".{ROOT}{{max-width:100%;height:auto}}"
    f".{ROOT} text{{font-family:{_FONT}}}"
    f".{ROOT} .strong{{font-weight:bold}}"
    f".{ROOT} rect,.{ROOT} polygon,.{ROOT} tspan{{fill:currentColor}}"
    f".{ROOT} polyline{{fill:none;stroke:currentColor}}"
    f".{ROOT} .answer{{stroke-dasharray:4 3}}"
    f".{ROOT} .lead{{stroke-width:.75;stroke-dasharray:1.5 2}}"
    f".{ROOT} .open{{fill-opacity:.4}}"
    f"{_colours(_LIGHT)}@media screen and (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
)
