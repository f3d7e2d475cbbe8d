"""Trouble is told when it begins, changes and ends."""

import logging

import pytest

from shim.errors import ShimError
from shim.trouble import Trouble


def test_trouble_is_told_once_until_it_changes_or_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shim")
    trouble = Trouble("fetch water")
    for reason in ("no bucket", "no bucket", "no well"):
        trouble.meet(ShimError(reason))
    assert str(trouble.error) == "no well"
    trouble.end()
    trouble.end()
    assert trouble.error is None
    trouble.meet(ShimError("no well"))

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "cannot fetch water: no bucket"),
        ("WARNING", "cannot fetch water: no well"),
        ("INFO", "can fetch water again"),
        ("WARNING", "cannot fetch water: no well"),
    ]
