"""What would overlap is moved apart, as little as possible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.trace.drawing.placing import side_by_side, spread

_MOMENTS = st.floats(0, 1000, allow_nan=False)


def test_what_does_not_overlap_stays() -> None:
    assert spread([10, 30, 50], [10, 10, 10], 0) == [10, 30, 50]


def test_what_overlaps_is_moved_to_both_sides() -> None:
    assert spread([100, 100], [10, 20], 0) == [92.5, 107.5]
    assert spread([100, 101, 102], [10, 10, 10], 0) == [91, 101, 111]


def test_nothing_comes_above_the_top() -> None:
    assert spread([0, 0, 100], [10, 10, 10], 0) == [5, 15, 100]
    assert spread([0, 12, 24], [10, 20, 10], 0) == [5, 20, 35]


@given(st.lists(st.tuples(_MOMENTS, st.floats(1, 100)), max_size=30))
def test_nothing_overlaps_and_the_order_stays(items: list[tuple[float, float]]) -> None:
    items.sort(key=lambda item: item[0])
    centres, heights = [item[0] for item in items], [item[1] for item in items]

    moved = spread(centres, heights, 0)

    edges = [
        (centre - height / 2, centre + height / 2) for centre, height in zip(moved, heights, strict=True)
    ]
    assert all(edges[number][1] <= edges[number + 1][0] + 1e-6 for number in range(len(edges) - 1))
    assert all(top >= -1e-6 for top, _ in edges)


@given(st.lists(_MOMENTS, max_size=20), st.floats(1, 50))
def test_nothing_is_moved_further_than_all_others_need_room(centres: list[float], height: float) -> None:
    centres.sort()

    moved = spread(centres, [height] * len(centres), -1e9)

    assert all(abs(a - b) <= len(centres) * height for a, b in zip(centres, moved, strict=True))
    assert sum(moved) == pytest.approx(sum(centres), abs=1e-3)


def test_bars_at_the_same_time_are_side_by_side_and_others_are_not() -> None:
    assert side_by_side([(0, 10), (1, 3), (2, 5), (3, 4), (10, 11)]) == [0, 1, 2, 1, 0]


@given(st.lists(st.tuples(_MOMENTS, st.floats(0, 100)), max_size=30))
def test_no_bar_overlaps_another_in_its_column(items: list[tuple[float, float]]) -> None:
    spans = [(start, start + length) for start, length in sorted(items)]

    columns = side_by_side(spans)

    for number, (start, _) in enumerate(spans):
        before = [
            end
            for (_, end), column in zip(spans[:number], columns, strict=False)
            if column == columns[number]
        ]
        assert all(end <= start for end in before)
