"""What must not be in a trace: values whose name says that they are secret, and texts that look so."""

import json
import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
"""In place of a secret."""

_LONGEST = 65536
"""Characters that are shown of a text which is no JSON."""

_WORDS = (
    r"secret|passw(?:or)?d|passphrase|token|credential|bearer|authorization"
    r"|(?:api|access|private|encryption|signing|shared|ssh)[-_.]?key"
    r"|(?<![a-z])(?:pwd|psk|pass|auth)(?![a-z])|(?<=[-_.])key(?![a-z])"
    r"|(?-i:(?<=[a-z0-9])(?:Pwd|Psk|Pass|Auth)(?![a-z]))"
)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_HINT = re.compile("secret|pass|token|credential|bearer|basic|auth|key|pwd|psk|://|eyj", re.IGNORECASE)
"""In every name and text that the others find something in; most have none of it, and are done with soon."""
_ASSIGNMENT = re.compile(  # without backtracking: the text may be long, and anybody's
    rf"""((?<![\w.-])(?>[\w.-]*?(?:{_WORDS}))[\w.-]*+["']?[ ]*+[=:][ ]*+)("[^"]*"|'[^']*'|[^\s;,&"']+)""",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_WEB_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def body(content: bytes) -> Any:
    """A body as it went over the wire: what its JSON says, or else its text; None when it is empty."""
    text = content.decode(errors="replace").strip()
    if not text:
        return None
    try:
        return value(json.loads(text))
    except (ValueError, RecursionError):
        return _text(text)


def value(item: Any) -> Any:
    """A JSON value without its secrets; bytes in it are read as bodies."""
    match item:
        case bytes():
            return body(item)
        case str():
            return _embedded(item)
        case Mapping():
            return {str(key): _member(str(key), member) for key, member in item.items()}
        case list() | tuple():
            return [value(member) for member in item]
        case _:
            return item


def pairs(text: str) -> str:
    """`CNI_ARGS` without its secrets."""
    return ";".join(map(_pair, text.split(";")))


def _pair(text: str) -> str:
    key, sign, said = text.partition("=")
    return f"{key}{sign}{_member(key, said)}"


def _member(name: str, item: Any) -> Any:
    """The value of that name; neither a flag nor nothing at all is a secret."""
    if (
        _HINT.search(name)
        and _SECRET_NAME.search(name)
        and not (item is None or isinstance(item, bool) or item in ("", [], {}))
    ):
        return REDACTED
    return value(item)


def _embedded(text: str) -> Any:
    """A text, which may be JSON in itself as the configuration in a NetworkAttachmentDefinition is."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.dumps(value(json.loads(text)))
        except (ValueError, RecursionError):
            pass
    return _text(text)


def _text(text: str) -> str:
    length, text = len(text), text[:_LONGEST]
    if _HINT.search(text):
        text = _PRIVATE_KEY.sub(REDACTED, text)
        text = _WEB_TOKEN.sub(REDACTED, text)
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
        text = _LOGIN.sub(REDACTED, text)
        text = _ASSIGNMENT.sub(rf"\1{REDACTED}", text)
    return f"{text} ... ({length} characters)" if length > _LONGEST else text
