"""What of a trace is shown."""

from experiments.figures import waiting


def test_only_looks_in_the_background_are_waiting() -> None:
    def line(number: int, kind: str, name: str, within: int | None = None) -> dict[str, object]:
        return {"id": number, "kind": kind, "name": name, "within": within}

    trace = [
        {"kind": "trace", "version": 1},
        line(1, "call", "Join"),
        line(2, "kernel", "read the links of a", 1),
        line(3, "work", "Replay"),
        line(4, "kernel", "read the links of b", 3),
        line(5, "kernel", "replay in b what plugins set", 3),
        {"kind": "end", "offset": 1.0},
    ]

    assert waiting(trace) == [4]
