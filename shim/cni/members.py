"""Reading CNI's JSON documents: strict about types, since what is let through is handed to plugins."""

import json
from typing import Any, NoReturn

from shim.errors import ShimError


def parse(text: bytes, where: str, error: type[ShimError]) -> Any:
    """The JSON value in `text`; `where` names it in errors. Raises `error`."""
    if not text.strip():
        raise error(f"{where}: empty")
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise error(f"{where}: not UTF-8") from None
    except UnicodeEncodeError:
        raise error(f"{where}: has half a character (a lone surrogate), which no plugin can read") from None
    except ValueError as reason:
        raise error(f"{where}: not JSON: {reason}") from None
    except RecursionError:
        raise error(f"{where}: nested too deep") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


class Members:
    """The members of one JSON object; `where` names the object in errors, which are of type `error`."""

    def __init__(self, value: object, where: str, error: type[ShimError]) -> None:
        if not isinstance(value, dict):
            raise error(f"{where}: expected a JSON object, found {_shown(value)}")
        self.all: dict[str, Any] = value
        """The object itself."""
        self._where = where
        self._error = error

    def text(self, key: str) -> str:
        """A string; empty when missing."""
        return self._typed(key, str, "a string") or ""

    def number(self, key: str) -> int | None:
        """An integer, if there is one."""
        value: int | None = self._typed(key, int, "an integer")
        return value

    def object(self, key: str) -> "Members":
        """A nested object; empty when missing."""
        return Members(self._typed(key, dict, "an object") or {}, f"{self._where}: {key}", self._error)

    def objects(self, key: str) -> "list[Members]":
        """A list of objects; empty when missing."""
        value: list[Any] = self._typed(key, list, "a list") or []
        return [
            Members(item, f"{self._where}: {key}[{index}]", self._error) for index, item in enumerate(value)
        ]

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty when missing."""
        value: list[Any] = self._typed(key, list, "a list of strings") or []
        for item in value:
            if not isinstance(item, str):
                self.refuse(key, "a list of strings")
        return value

    def flag(self, key: str) -> bool:
        """A truth value; false when missing. CNI also allows the strings "true" and "false"."""
        value = self.all.get(key)
        if value is None:
            return False
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the error that the member `key` is not what was expected."""
        raise self._error(f"{self._where}: {key}: expected {expected}, found {_shown(self.all.get(key))}")

    def _typed(self, key: str, kind: type, expected: str) -> Any:
        value = self.all.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.refuse(key, expected)
        return value


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004 - fits on the error's line
