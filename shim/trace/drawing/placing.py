"""Where things go that would lie on one another."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class _Block:
    """Neighbours that touch each other, moved as one."""

    wanted: float
    """The sum of the tops that would suit each of them best."""
    count: int
    height: float

    def top(self, least: float) -> float:
        return max(least, self.wanted / self.count)


def spread(centres: Sequence[float], heights: Sequence[float], least: float) -> list[float]:
    """The centres moved as little as possible, so that nothing of these heights overlaps.

    They keep their order, which must be ascending, and nothing comes above `least`.
    """
    blocks: list[_Block] = []
    for centre, height in zip(centres, heights, strict=True):
        block = _Block(centre - height / 2, 1, height)
        while blocks and blocks[-1].top(least) + blocks[-1].height > block.top(least):
            before = blocks.pop()
            block = _Block(
                before.wanted + block.wanted - block.count * before.height,
                before.count + block.count,
                before.height + block.height,
            )
        blocks.append(block)
    moved: list[float] = []
    for block in blocks:
        top = block.top(least)
        for height in heights[len(moved) : len(moved) + block.count]:
            moved.append(top + height / 2)
            top += height
    return moved


def side_by_side(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The column of each span, in the order of their starts, so that none overlaps another in its column."""
    ends: list[float] = []
    columns: list[int] = []
    for start, end in spans:
        column = next((index for index, last in enumerate(ends) if last <= start), len(ends))
        ends[column : column + 1] = [end]
        columns.append(column)
    return columns
