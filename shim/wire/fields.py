"""Reading the members of a JSON object from the engine: strict about types, lenient about the rest.

Unknown members are ignored, since every engine adds some; a missing or `null` member reads as empty,
since Go writes both (`"Options": null` is seen where an object is documented).
"""

from typing import Any

from shim.errors import InvalidRequestError

_LONGEST_ID = 64


class Fields:
    """The members of one JSON object; `where` names the object in errors."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidRequestError(f"{where}: expected a JSON object")
        self._members: dict[str, Any] = value
        self._where = where

    def text(self, key: str) -> str:
        """A string; empty when missing or null.

        NUL and lone surrogates are refused: no path, environment or log could hold them.
        """
        value: str = self._typed(key, str, "a string") or ""
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
            raise InvalidRequestError(f"{self._where}.{key}: expected valid text, found {value!r}")
        return value

    def identifier(self, key: str) -> str:
        """One of Docker's IDs: 1 to 64 letters and digits, since it becomes part of paths."""
        value = self.text(key)
        if not (value.isascii() and value.isalnum() and len(value) <= _LONGEST_ID):
            raise InvalidRequestError(
                f"{self._where}: {key} must be an ID of 1 to 64 letters and digits, found {value!r}"
            )
        return value

    def number(self, key: str) -> int:
        """An integer; 0 when missing or null."""
        return self._typed(key, int, "an integer") or 0

    def flag(self, key: str) -> bool:
        """A truth value; false when missing or null."""
        return self._typed(key, bool, "true or false") or False

    def object(self, key: str) -> "Fields":
        """A nested object; empty when missing or null."""
        value: dict[str, Any] = self._typed(key, dict, "an object") or {}
        return Fields(value, f"{self._where}.{key}")

    def objects(self, key: str) -> "list[Fields]":
        """A list of objects; empty when missing or null."""
        value: list[Any] = self._typed(key, list, "a list") or []
        return [Fields(item, f"{self._where}.{key}[{index}]") for index, item in enumerate(value)]

    def texts(self, prefix: str = "") -> dict[str, str]:
        """All members whose key starts with `prefix`; their values must be strings."""
        return {key: self.text(key) for key in self._members if key.startswith(prefix)}

    def _typed(self, key: str, kind: type, expected: str) -> Any:
        value = self._members.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidRequestError(f"{self._where}.{key}: expected {expected}, found {value!r}")
        return value
