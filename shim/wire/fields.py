"""Reading the members of a JSON object from the engine: strict about types, lenient about the rest.

Unknown members are ignored, since every engine adds some; a missing or `null` member reads as empty,
since Go writes both (`"Options": null` is seen where an object is documented).
"""

import reprlib
from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any

from shim.errors import InvalidRequestError

_LONGEST_ID = 64

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100
_quoted = _short.repr
"""A value in an error: however large it is or deep, some of it says which one was meant."""

_INTERFACES: Mapping[int | None, tuple[Callable[[str], Any], str]] = {
    None: (ip_interface, "an address such as 10.1.0.5/16"),
    4: (IPv4Interface, "an IPv4 address such as 10.1.0.5/16"),
    6: (IPv6Interface, "an IPv6 address such as fd00::5/64"),
}


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
        if not _is_valid(value):
            raise InvalidRequestError(f"{self._where}.{key}: expected valid text, found {_quoted(value)}")
        return value

    def identifier(self, key: str) -> str:
        """One of Docker's IDs: 1 to 64 letters and digits, since it becomes part of paths."""
        value = self.text(key)
        if not (value.isascii() and value.isalnum() and len(value) <= _LONGEST_ID):
            raise InvalidRequestError(
                f"{self._where}: {key} must be an ID of 1 to 64 letters and digits, found {_quoted(value)}"
            )
        return value

    def number(self, key: str) -> int:
        """An integer; 0 when missing or null."""
        return self._typed(key, int, "an integer") or 0

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A truth value; `default` when missing or null."""
        value: bool | None = self._typed(key, bool, "true or false")
        return default if value is None else value

    def object(self, key: str) -> "Fields":
        """A nested object; empty when missing or null."""
        value: dict[str, Any] = self._typed(key, dict, "an object") or {}
        return Fields(value, f"{self._where}.{key}")

    def objects(self, key: str) -> "list[Fields]":
        """A list of objects; empty when missing or null."""
        value: list[Any] = self._typed(key, list, "a list") or []
        return [Fields(item, f"{self._where}.{key}[{index}]") for index, item in enumerate(value)]

    def texts(self) -> dict[str, str]:
        """All members; their values must be strings."""
        return {self._key(key): self.text(key) for key in self._members}

    def strings(self, *, but: str) -> dict[str, str]:
        """Those members that are strings, except that one."""
        kept = [key for key, value in self._members.items() if isinstance(value, str) and key != but]
        return {self._key(key): self.text(key) for key in kept}

    def address(self, key: str) -> str:
        """An IP address; empty when missing or null."""
        return self._parsed(self.text(key), key, ip_address, "an IP address")

    def interface(self, key: str, version: int | None = None) -> str:
        """An IP address with prefix length, of that version if any; empty when missing or null."""
        parse, expected = _INTERFACES[version]
        return self._parsed(self.text(key), key, parse, expected)

    def interfaces(self) -> dict[str, str]:
        """All members; their values must be addresses with prefix length."""
        return {self._key(key): self.interface(key) for key in self._members}

    def subnet(self, key: str) -> str:
        """A subnet; empty when missing or null."""
        return self._parsed(self.text(key), key, ip_network, "a subnet such as 10.1.0.0/16")

    def _parsed(self, text: str, key: str, parse: Callable[[str], Any], expected: str) -> str:
        try:
            return str(parse(text)) if text else ""
        except ValueError:
            raise InvalidRequestError(
                f"{self._where}.{key}: expected {expected}, found {_quoted(text)}"
            ) from None

    def _key(self, key: str) -> str:
        if not _is_valid(key):
            raise InvalidRequestError(f"{self._where}: expected a key of valid text, found {_quoted(key)}")
        return key

    def _typed(self, key: str, kind: type, expected: str) -> Any:
        value = self._members.get(key)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidRequestError(f"{self._where}.{key}: expected {expected}, found {_quoted(value)}")
        return value


def _is_valid(text: str) -> bool:
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)
