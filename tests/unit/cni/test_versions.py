"""Versions: how they are read, compared and chosen."""

import pytest

from shim.cni import versions


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.1.0", (1, 1, 0)),
        ("0.3.1", (0, 3, 1)),
        ("1.0", (1, 0, 0)),
        ("2", (2, 0, 0)),
        ("10.0.0", (10, 0, 0)),
    ],
)
def test_a_version_is_up_to_three_numbers(text: str, numbers: tuple[int, int, int]) -> None:
    assert versions.parse(text) == numbers


@pytest.mark.parametrize(
    "text", ["", "1.0.0.0", "1.0.0-rc1", "v1.0.0", "1..0", " 1.0.0", "-1.0.0", "\u0661.\u0660"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        versions.parse(text)


def test_the_supported_versions_are_in_order() -> None:
    assert sorted(versions.SUPPORTED, key=versions.parse) == list(versions.SUPPORTED)


def test_versions_are_compared_by_number_not_by_text() -> None:
    assert versions.at_least("1.10.0", "1.9.0")
    assert versions.at_least("1.0", "1.0.0")
    assert not versions.at_least("0.3.1", "0.4.0")


@pytest.mark.parametrize(
    ("offered", "supported"),
    [
        (["0.4.0", "1.1.0", "1.0"], ("0.4.0", "1.0.0", "1.1.0")),
        (["1.0.0", "3.0.0"], ("1.0.0",)),
        (["0.9.0"], ()),
        ([], ()),
    ],
)
def test_of_the_versions_offered_those_spoken_here_are_told_in_order(
    offered: list[str], supported: tuple[str, ...]
) -> None:
    assert versions.supported(offered) == supported
