"""Tables, JSON and ages as commands print them."""

import time

import pytest

from shim import printed


def test_columns_are_as_wide_as_they_must_be_and_empty_cells_show() -> None:
    assert printed.table(("A", "LONG"), [("wide cell", ""), ("", "x")]) == (
        "A           LONG\nwide cell   -\n-           x"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172799, "47h"),
        (172800, "2d"),
        (-5, "0s"),
    ],
)
def test_an_age_is_shown_as_kubectl_does(monkeypatch: pytest.MonkeyPatch, seconds: float, shown: str) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)

    assert printed.age(1_000_000.0 - seconds) == shown


def test_what_has_no_beginning_has_no_age() -> None:
    assert printed.age(0.0) == ""


def test_a_time_is_written_as_rfc_3339_has_it() -> None:
    assert printed.time(0.0) == "1970-01-01T00:00:00+00:00"
