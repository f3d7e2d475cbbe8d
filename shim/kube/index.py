"""Objects in memory, found by name or by one more property without asking anybody."""

import logging
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

from shim.kube.objects import Key, key
from shim.model import JSONObject

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Index(Generic[_T]):
    """Objects of one kind; `parse` reads one or raises `ValueError`, `by` is the further property."""

    def __init__(self, parse: Callable[[JSONObject], _T], by: Callable[[_T], str]) -> None:
        self._parse = parse
        self._by = by
        self._objects: dict[Key, _T] = {}
        self._keys: dict[str, set[Key]] = {}

    def __iter__(self) -> Iterator[_T]:
        return iter(list(self._objects.values()))

    def get(self, namespace: str, name: str) -> _T | None:
        """The object of that name."""
        return self._objects.get((namespace, name))

    def by(self, value: str) -> list[_T]:
        """The objects with that value of the further property, by name."""
        return [self._objects[found] for found in sorted(self._keys.get(value, ()))]

    def put(self, value: JSONObject) -> Key:
        """Add or replace an object; one that cannot be read is left out with a warning. Returns its key."""
        place = key(value)
        self.drop(place)
        try:
            item = self._parse(value)
        except ValueError as error:
            _log.warning("Kubernetes: %s/%s is left out: %s", *place, error)
        else:
            self._objects[place] = item
            self._keys.setdefault(self._by(item), set()).add(place)
        return place

    def drop(self, place: Key) -> None:
        """Remove an object; harmless when there is none."""
        item = self._objects.pop(place, None)
        if item is not None:
            keys = self._keys[self._by(item)]
            keys.discard(place)
            if not keys:
                del self._keys[self._by(item)]

    def retain(self, places: Collection[Key], namespace: str) -> None:
        """Remove all objects but these; with a namespace, only in that one."""
        for place in list(self._objects):
            if place not in places and namespace in {"", place[0]}:
                self.drop(place)
