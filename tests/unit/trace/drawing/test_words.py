"""Text is broken into lines that fit, and shortened where a reader loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.trace.drawing.words import NO_BREAK, Run, cells, cut, fitting, short, text_width, wrap


def lines(text: str, most: int, count: int = 99) -> list[str]:
    """The text of each line."""
    return [" ".join(run.text for run in line) for line in wrap([Run(text)], most, count)]


def test_words_are_kept_together_while_they_fit() -> None:
    assert lines("make the network namespace", 12) == ["make the", "network", "namespace"]
    assert lines("make the network namespace", 26) == ["make the network namespace"]
    assert lines("  make \n the  ", 26) == ["make the"]
    assert lines("", 26) == []
    assert lines(f"it took 12{NO_BREAK}ms", 10) == ["it took", f"12{NO_BREAK}ms"]


def test_a_word_that_does_not_fit_is_cut() -> None:
    assert lines("a namespace", 5) == ["a", "name…"]


def test_more_lines_than_there_may_be_end_in_an_ellipsis() -> None:
    assert lines("make the network namespace", 12, 2) == ["make the", "network …"]
    assert lines("make the network namespace", 7, 2) == ["make", "the …"]
    assert lines("one network namespace", 7, 2) == ["one", "networ…"]


def test_each_word_keeps_its_style() -> None:
    assert wrap([Run("bridge ADD", "strong"), Run("12 ms", "faint")], 13, 3) == [
        (Run("bridge", "strong"), Run("ADD", "strong"), Run("12", "faint")),
        (Run("ms", "faint"),),
    ]


@given(st.text(), st.integers(1, 40), st.integers(1, 5))
def test_no_line_is_longer_than_it_may_be_whatever_the_text(text: str, most: int, count: int) -> None:
    wrapped = lines(text, most, count)

    assert len(wrapped) <= count
    assert all(cells(line) <= max(most, 2) for line in wrapped)


@pytest.mark.parametrize(
    ("text", "most", "shown"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字漢字", 5, "漢字…")]
)
def test_a_text_is_cut_by_the_room_it_takes(text: str, most: int, shown: str) -> None:
    assert cut(text, most) == shown


def test_so_many_characters_fit_as_their_width_says() -> None:
    assert text_width("x" * fitting(100, 12), 12) <= 100 < text_width("x" * (fitting(100, 12) + 1), 12)
    assert text_width("漢", 10) == text_width("xx", 10)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"move eth0 from /run/cnm-cni/netns/{'ab' * 32} to the host's",
            "move eth0 from abababababab to the host's",
        ),
        (f"GET /networks/{'0' * 64}", "GET 000000000000"),
        ("GET /containers/json", "GET json"),
        ("iptables-save --table filter", "iptables-save --table filter"),
        ("a/b and 10.1.0.5/16", "a/b and 10.1.0.5/16"),
        (f"no ID: {'xy' * 32}", f"no ID: {'xy' * 32}"),
    ],
)
def test_ids_and_paths_are_shortened(text: str, shown: str) -> None:
    assert short(text) == shown
