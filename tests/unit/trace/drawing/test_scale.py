"""Heights are to scale, but for time that is left out and marked as such."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.trace.drawing.scale import Scale

_SPANS = st.lists(st.tuples(st.floats(-1, 100), st.floats(0, 10)), min_size=1, max_size=20)


def test_heights_are_in_proportion_to_times() -> None:
    scale = Scale([(0.0, 0.3), (0.1, 0.2)], 1000)

    assert [scale.y(moment) for moment in (0.0, 0.1, 0.15, 0.2, 0.3)] == pytest.approx(
        [0, 100, 150, 200, 300]
    )
    assert scale.height == pytest.approx(300)
    assert scale.gaps == []


def test_time_in_which_nothing_is_under_way_is_left_out() -> None:
    scale = Scale([(0.0, 0.1), (5.1, 5.2)], 1000)

    (gap,) = scale.gaps
    assert [gap.seconds, gap.top, gap.bottom] == pytest.approx([5.0, 100, 140])
    assert gap.is_idle
    assert scale.y(5.2) - scale.y(5.1) == pytest.approx(100)
    assert scale.height == pytest.approx(240)


def test_a_short_pause_is_not_left_out() -> None:
    assert Scale([(0.0, 0.1), (0.15, 0.2)], 1000).gaps == []


def test_of_a_long_wait_for_one_thing_the_middle_is_left_out() -> None:
    scale = Scale([(0.0, 60.2), (0.1, 60.1)], 1000)

    (gap,) = scale.gaps
    assert gap.seconds == pytest.approx(60.0)
    assert not gap.is_idle
    assert scale.height == pytest.approx(100 + 120 + 100)


def test_ticks_are_round_numbers_since_the_origin_and_none_is_in_a_gap() -> None:
    scale = Scale([(0.103, 0.303), (5.103, 5.203)], 1000)

    ticks = list(scale.ticks(0.103))

    assert [seconds for seconds, _ in ticks] == pytest.approx([0.0, 0.1, 5.0])
    assert [y for _, y in ticks] == pytest.approx([0, 100, 240])


@given(_SPANS, st.floats(1, 1e5))
def test_later_is_never_higher_up_whatever_happens_when(
    spans: list[tuple[float, float]], pixels: float
) -> None:
    spans = [(start, start + length) for start, length in spans]
    scale = Scale(spans, pixels)

    moments = sorted(moment for span in spans for moment in span)
    heights = [scale.y(moment) for moment in moments]
    assert heights == sorted(heights)
    assert [heights[0], heights[-1]] == pytest.approx([0, scale.height])
    gaps = [(gap.top, gap.bottom) for gap in scale.gaps]
    for (one, y), (other, below) in itertools.pairwise(zip(moments, heights, strict=True)):
        if not any(top - 1e-6 <= y and below <= bottom + 1e-6 for top, bottom in gaps):
            assert below - y == pytest.approx((other - one) * pixels, abs=1e-3)
    for _, y in scale.ticks(moments[0]):
        assert not any(top + 1e-6 < y < bottom - 1e-6 for top, bottom in gaps)
