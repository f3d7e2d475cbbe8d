"""Pictures of traces: well-formed, to scale, with no text on another, whatever has happened."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.spans import Kind
from shim.trace.drawing.diagram import draw
from shim.trace.drawing.lanes import WIDEST
from shim.trace.drawing.words import NO_BREAK, text_width
from shim.trace.reading import Trace, read

RECORDED = Path(__file__).parents[1] / "recorded"
SVG = "{http://www.w3.org/2000/svg}"
ENDPOINTS = [f"{number:012x}" for number in range(10)]


@dataclass(frozen=True, slots=True)
class Box:
    """The room that a text takes."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether both have more than a hair in common."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > 0.1
            and min(self.bottom, other.bottom) - max(self.top, other.top) > 0.1
        )


def text_of(element: ET.Element) -> str:
    """All text in an element, with blanks where a line is not to be broken."""
    return "".join(element.itertext()).replace(NO_BREAK, " ")


class Picture:
    """A drawn trace, as a viewer would read it."""

    def __init__(self, trace: Trace, title: str = "") -> None:
        self.source = draw(trace, title)
        self.root = ET.fromstring(self.source)
        self.width, self.height = (float(self.root.attrib[name]) for name in ("width", "height"))

    def boxes(self) -> Iterator[Box]:
        """The texts."""
        for text in self.root.iter(f"{SVG}text"):
            size = float(text.attrib["font-size"])
            content = text_of(text)
            wide = text_width(content, size)
            left = (
                float(text.attrib["x"])
                - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib["text-anchor"]]
            )
            baseline = float(text.attrib["y"])
            yield Box(content, left, baseline - 0.9 * size, left + wide, baseline + 0.2 * size)

    def texts(self) -> list[str]:
        """What is written, from top to bottom as it is in the file."""
        return [box.text for box in self.boxes()]

    def bars(self) -> list[tuple[str, float, float]]:
        """Tooltip, top and height of each bar."""
        return [
            (group.findtext(f"{SVG}title", ""), float(bar.attrib["y"]), float(bar.attrib["height"]))
            for group in self.root.iter(f"{SVG}g")
            for bar in group.findall(f"{SVG}rect")
            if "bar" in bar.attrib["class"].split()
        ]

    def check(self) -> None:
        """What holds for any picture."""
        boxes = list(self.boxes())
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other), (one, other)
        for box in boxes:
            assert box.left >= 0, box
            assert box.right <= self.width, box
            assert box.top >= 0, box
            assert box.bottom <= self.height, box
        assert self.width <= WIDEST
        for rectangle in self.root.iter(f"{SVG}rect"):
            assert float(rectangle.attrib["width"]) > 0
            assert float(rectangle.attrib["height"]) > 0


def recorded(name: str) -> Trace:
    """A trace of a real engine and real plugins."""
    with (RECORDED / f"{name}.jsonl").open() as lines:
        return read(lines, name)


def trace(events: Iterable[dict[str, Any]], *others: dict[str, Any], **header: Any) -> Trace:
    """A trace of these events."""
    usual = {"within": None, "error": "", "name": "Join", "kind": "call", "offset": 0.0, "seconds": 0.01}
    numbered = [usual | {"id": number} | event for number, event in enumerate(events, 1)]
    start = {
        "kind": "trace",
        "version": 1,
        "of": "daemon",
        "driver": "cni",
        "program": "cnm-cni 1",
        "start": "now",
    }
    return read((json.dumps(line) + "\n" for line in (start | header, *numbered, *others)), "trace")


def parallel() -> Trace:
    """Ten containers at once, each with its calls, plugins and what the kernel does for it."""
    events: list[dict[str, Any]] = []
    for number, endpoint in enumerate(ENDPOINTS):
        for step, name in enumerate(("CreateEndpoint", "Join", "ProgramExternalConnectivity", "Leave")):
            start = 0.013 * number + 0.2 * step
            subject = f"web/{endpoint}"
            parent = len(events) + 1
            events.append({"name": name, "offset": start, "seconds": 0.15, "subject": subject})
            for part, plugin in enumerate(("bridge", "portmap", "firewall")):
                at = start + 0.01 + part * 0.04
                events.append(
                    {
                        "kind": "plugin",
                        "name": plugin,
                        "command": "ADD",
                        "offset": at,
                        "seconds": 0.035,
                        "within": parent,
                    }
                )
            move = f"move eth0 from /run/cnm-cni/netns/{endpoint * 5} to the host's namespace"
            events.append(
                {"kind": "kernel", "name": move, "offset": start + 0.14, "seconds": 0.005, "within": parent}
            )
            ask = {"kind": "kubernetes", "name": f"patch dockernetworks {endpoint} status"}
            events.append(ask | {"offset": start + 0.001, "seconds": 0.007, "within": parent})
            events.append(
                {"kind": "engine", "name": "GET /networks/" + "0" * 64, "offset": start, "within": parent}
            )
    return trace(events)


@pytest.mark.parametrize("name", ["run", "failed"])
def test_recorded_traces_are_drawn_with_no_text_on_another(name: str) -> None:
    Picture(recorded(name)).check()


def test_ten_containers_at_once_are_drawn_with_no_text_on_another() -> None:
    picture = Picture(parallel())

    picture.check()
    assert picture.width == WIDEST
    assert len(picture.bars()) == len(parallel().events)


_TEXT = st.text(max_size=80)
_EVENT = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([str(kind) for kind in Kind]),
        "name": _TEXT,
        "offset": st.floats(-10, 100),
        "seconds": st.none() | st.floats(0, 30) | st.floats(0, 0.001),
        "error": st.just("") | _TEXT,
        "within": st.none() | st.integers(1, 30),
        "subject": _TEXT,
        "command": _TEXT,
    }
)


@settings(max_examples=60)
@given(st.lists(_EVENT, max_size=25), _TEXT)
def test_whatever_has_happened_the_picture_is_well_formed_and_no_text_on_another(
    events: list[dict[str, Any]], title: str
) -> None:
    Picture(trace(events), title).check()


def test_bars_and_the_distances_between_them_are_to_scale() -> None:
    events = [
        {"name": "a", "offset": 5.0, "seconds": 0.1},
        {"name": "b", "offset": 5.1, "seconds": 0.2},
        {"name": "c", "offset": 5.31, "seconds": 0.05},
    ]
    (_, a, a_height), (_, b, b_height), (_, c, c_height) = Picture(trace(events)).bars()

    second = (b - a) / 0.1
    assert c - b == pytest.approx(0.21 * second, abs=0.02)
    heights = [a_height + 1, b_height + 1, c_height + 1]  # a pixel is between a bar and the next
    assert heights == pytest.approx([0.1 * second, 0.2 * second, 0.05 * second], abs=0.02)


def test_recorded_times_are_to_scale_between_the_gaps() -> None:
    picture = Picture(recorded("run"))
    bars = {name.partition(" ")[0]: at for name, *at in picture.bars() if "ADD" in name}

    events = {event.name: event for event in recorded("run").events if event.details.get("command") == "ADD"}
    second = (bars["firewall"][0] - bars["bridge"][0]) / (events["firewall"].start - events["bridge"].start)
    for name in ("bridge", "portmap", "firewall"):
        assert bars[name][1] + 1 == pytest.approx(events[name].seconds * second, abs=0.05)


def test_idle_time_is_left_out_and_marked_with_its_length() -> None:
    events = [{"name": "a", "offset": 0.0}, {"name": "b", "offset": 20.01}]
    picture = Picture(trace(events))

    assert picture.height < 500
    assert [text for text in picture.texts() if text in {"20.000 s", "idle"}] == ["20.000 s", "idle"]


def test_a_plugin_that_hangs_does_not_fill_the_picture() -> None:
    plugin: dict[str, Any] = {"kind": "plugin", "within": 1}
    events: list[dict[str, Any]] = [
        {"offset": 0.0, "seconds": 60.1},
        plugin | {"offset": 0.01, "seconds": 0.03},
        plugin | {"offset": 0.04, "seconds": 59.9},
        plugin | {"offset": 60.0, "seconds": 0.05},
    ]
    picture = Picture(trace(events))

    assert picture.height < 1000
    assert "waiting" in picture.texts()


def test_each_event_is_named_with_how_long_it_took() -> None:
    texts = " ".join(Picture(recorded("run")).texts())

    for words in ("CreateEndpoint 264 ms", "bridge ADD 59.0 ms", "firewall DEL 23.8 ms", "Join 24.7 ms"):
        assert words in texts


def test_an_error_is_red_and_told_in_full() -> None:
    picture = Picture(recorded("failed"))

    reds = [group for group in picture.root.iter(f"{SVG}g") if group.attrib["class"] == "error"]
    shown = [" ".join(map(text_of, group.iter(f"{SVG}text"))) for group in reds]
    assert any(text.startswith("CreateEndpoint 116 ms plugin") for text in shown)
    assert any(text.startswith("bandwidth ADD 6.12 ms plugin") for text in shown)
    assert all(text.endswith("of type uint64") for text in shown if text)
    assert len([group for group in reds if group.find(f"{SVG}rect[@class='bar']") is not None]) == 3


def test_the_title_names_network_and_endpoint_or_how_many_or_is_given() -> None:
    assert Picture(recorded("run")).texts().count("Network cni-bridge, endpoint 90c8cccf2a34") == 1
    assert "Network web, 10 endpoints" in Picture(parallel()).texts()
    assert "Network web" in Picture(trace([{"subject": "web"}])).texts()
    assert "2 networks" in Picture(trace([{"subject": "web"}, {"subject": "db"}])).texts()
    assert "Driver cni" in Picture(trace([{}])).texts()
    assert "My title" in Picture(trace([{}]), "My title").texts()


def test_who_does_not_see_the_picture_is_told_what_is_in_it() -> None:
    root = Picture(recorded("failed")).root
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")

    assert title is not None
    assert description is not None
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
    assert title.text == "Network broken, endpoint ff2555cf5388"
    assert "1 call of the engine" in text_of(description)
    assert "CreateEndpoint broken/ff2555cf5388 (116 ms, failed: plugin" in text_of(description)


def test_only_lanes_with_something_on_them_are_there() -> None:
    heads = {"Docker engine", "shim", "CNI plugins", "kernel", "Kubernetes"}

    assert heads & set(Picture(trace([{}])).texts()) == {"Docker engine", "shim"}
    assert heads & set(Picture(recorded("run")).texts()) == heads - {"Kubernetes"}
    assert heads & set(Picture(parallel()).texts()) == heads
    assert "driver" in Picture(trace([{}], of="proxy")).texts()


def test_of_several_endpoints_each_event_says_for_whom_it_is() -> None:
    texts = " ".join(Picture(parallel()).texts())

    for endpoint in ENDPOINTS:
        assert f"CreateEndpoint 150 ms web/{endpoint}" in texts
        assert f"bridge ADD 35.0 ms {endpoint}" in texts
    assert "90c8cccf2a34" not in " ".join(text for text in Picture(recorded("run")).texts() if "ADD" in text)


def test_what_had_not_ended_and_what_is_missing_is_said() -> None:
    texts = Picture(
        trace([{"seconds": None}], {"kind": "lost", "count": 3}, {"kind": "end", "offset": 1})
    ).texts()

    assert "Join not finished" in texts
    assert "Incomplete: the recorder was too slow for 3 more." in texts


def test_a_trace_of_nothing_is_a_picture_of_nothing() -> None:
    picture = Picture(trace([]))

    picture.check()
    assert picture.bars() == []


def test_the_picture_follows_the_viewer_into_the_dark_and_prints_light() -> None:
    style = Picture(trace([{}])).root.findtext(f"{SVG}style", "")

    light, _, dark = style.partition("@media screen and (prefers-color-scheme:dark)")
    colours = re.compile(r"\.cnm-trace \.([a-z]+)\{color:(#[0-9a-f]{6})\}")
    assert colours.findall(light)
    names = [name for name, _ in colours.findall(light)]
    assert names == [name for name, _ in colours.findall(dark)]
    assert not set(colours.findall(light)) & set(colours.findall(dark))
    used = {name for item in Picture(parallel()).root.iter() for name in item.attrib.get("class", "").split()}
    assert used <= {*names, "cnm-trace", "strong", "answer", "lead", "open", "bar", "arrow"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_stands_out_against_the_paper(scheme: str) -> None:
    style = Picture(trace([{}])).root.findtext(f"{SVG}style", "")
    part = style.partition("@media")[0 if scheme == "light" else 2]
    colours = dict(re.findall(r"\.cnm-trace \.([a-z]+)\{color:(#[0-9a-f]{6})\}", part))

    for name in colours.keys() - {"paper", "line", "gap"}:
        assert _contrast(colours[name], colours["paper"]) >= 4.5, name  # WCAG 2.1, 1.4.3
        assert _contrast(colours[name], colours["gap"]) >= 4.5, name


def test_two_pictures_on_one_page_do_not_share_names() -> None:
    one, other = (re.findall(r' id="([^"]*)"', draw(recorded(name))) for name in ("run", "failed"))

    assert not set(one) & set(other)


def _contrast(one: str, other: str) -> float:
    """Source: WCAG 2.1, "contrast ratio"."""
    lights = sorted(_luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
