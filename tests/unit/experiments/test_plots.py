"""Plots: every value is drawn where the axis says."""

import re

import pytest
from experiments.figures import Bars, Distribution, Span, Timeline
from experiments.plots import Axis, bars, distribution, number, timeline


def test_an_axis_begins_at_zero_and_ends_at_a_round_number() -> None:
    axis = Axis([93.0, 204.0, 282.0])

    assert [tick.label for tick in axis.ticks()] == ["0", "100", "200", "300"]
    assert axis.place(0) == 0
    assert axis.place(300) == 1000


def test_values_that_lie_far_apart_get_a_logarithmic_axis() -> None:
    axis = Axis([0.5, 15000.0])

    assert axis.is_logarithmic
    assert [tick.label for tick in axis.ticks()] == ["0.1", "1", "10", "100", "1000", "10000", "100000"]
    assert axis.place(1) == pytest.approx(1000 / 6)


def test_a_single_power_of_ten_still_makes_an_axis() -> None:
    assert Axis([0.0]).place(1.0) == 1000


def test_a_distribution_shows_every_single_measurement() -> None:
    plot = distribution(Distribution("t", "ms", {"one": [10.0, 20.0, 30.0], "two": [40.0, 40.0, 40.0]}))

    assert [row.strip.count('class="one"') for row in plot.rows] == [3, 3]
    assert plot.rows[0].value == "20 ms (15 to 25)"
    assert "3 measurements each" in plot.notes[0]
    assert "These figures depend on the machine." in plot.notes


def test_bars_are_as_long_as_their_values() -> None:
    plot = bars(Bars("t", "calls", {"one": 5, "two": 10}))

    widths = [float(re.findall(r'width="([\d.]+)"', row.strip)[0]) for row in plot.rows]
    assert widths == [500, 1000]
    assert plot.rows[1].value == "10 calls"


def test_a_timeline_is_in_the_order_of_time() -> None:
    plot = timeline(Timeline("t", ["shim"], [Span("shim", "b", 0.2, 0.3), Span("shim", "a", 0.1, 0.1)]))

    assert [(row.name, row.value) for row in plot.rows] == [
        ("shim: a", "at 100, now"),
        ("shim: b", "at 200, 100 ms"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0421, "0.0421"), (12.34, "12.3"), (204.4, "204"), (15020, "15020"), (7, "7")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
