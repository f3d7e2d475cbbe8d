"""The statistics of repeated measurements."""

import pytest
from experiments.spread import Spread, in_turns, milliseconds, ratio, spread_text


def test_median_and_quartiles_lie_where_they_should() -> None:
    spread = Spread.of([5.0, 1.0, 3.0, 2.0, 4.0])

    assert (spread.low, spread.median, spread.high) == (2.0, 3.0, 4.0)
    assert spread.iqr == 2.0
    assert spread.count == 5
    assert spread.p95 == pytest.approx(4.8)


def test_one_measurement_is_its_own_spread() -> None:
    assert Spread.of([7.0]) == Spread(1, 7.0, 7.0, 7.0, 7.0)


def test_no_measurement_has_no_spread() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_every_way_has_its_turn_in_every_round_and_the_first_round_is_thrown_away() -> None:
    taken: list[str] = []

    def way(name: str) -> float:
        taken.append(name)
        return float(len(taken))

    values = in_turns({"one": lambda: way("one"), "two": lambda: way("two")}, 3)

    assert [len(each) for each in values.values()] == [3, 3]
    assert all(set(taken[start : start + 2]) == {"one", "two"} for start in range(0, 8, 2))
    assert min(values["one"] + values["two"]) > 2


def test_ratios_are_taken_between_neighbours_in_time() -> None:
    assert ratio([2.0, 40.0, 6.0], [1.0, 10.0, 3.0]) == 2.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00042, "0.4 ms"), (0.0123, "12 ms"), (0.5, "500 ms"), (15.02, "15.0 s")]
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_a_table_shows_the_median_with_its_quartiles() -> None:
    assert spread_text([0.2, 0.204, 0.21]) == "204 ms (202-207)"
