"""Results in other versions of the specification.

Source: the specification's versions 0.2.0, 0.3.1, 1.0.0 and 1.1.0, "Result"; what is lost on the way down,
and what cannot go: libcni `pkg/types/020`, `040` and `100`. Members unknown here pass unchanged.
"""

from collections.abc import Collection
from typing import Any

from shim.cni.errors import ResultError
from shim.cni.versions import BY_FAMILY, FIRST_WITH_GC, SUPPORTED, WITH_FAMILY, at_least
from shim.model import JSONObject

_NEW_IN_INTERFACES = {"mtu", "socketPath", "pciID"}
_NEW_IN_ROUTES = {"mtu", "advmss", "priority", "table", "scope"}


def is_by_family(raw: JSONObject) -> bool:
    """Whether a result has the form of 0.1.0 and 0.2.0; one without a version tells by its members."""
    version = raw.get("cniVersion")
    return version in BY_FAMILY if version else bool({"ip4", "ip6"} & set(raw))


def merged(raw: JSONObject) -> dict[str, Any]:
    """A result of 0.1.0 or 0.2.0 with its addresses and routes as lists, those of IPv4 first."""
    families = [raw[key] for key in ("ip4", "ip6") if raw.get(key)]
    lists = {
        "ips": [_renamed(family, "ip", "address", without={"routes"}) for family in families],
        "routes": [dict(route) for family in families for route in family.get("routes") or []],
    }
    return _without(raw, {"ip4", "ip6"}) | {key: items for key, items in lists.items() if items}


def convert(raw: JSONObject, version: str) -> dict[str, Any]:
    """A result, whose shape has been checked, in another version; one without a version is taken to be in it.

    Raises `ResultError` when the result's own version is not supported, or when the other one has no form
    for it.
    """
    own = raw.get("cniVersion") or ("0.2.0" if is_by_family(raw) else version)
    if own not in SUPPORTED:
        raise ResultError(f"the result is of CNI version {own}", cure=f"supported are {', '.join(SUPPORTED)}")
    if own in BY_FAMILY and version in BY_FAMILY:
        return {**raw, "cniVersion": version}
    lists = merged(raw) if own in BY_FAMILY else dict(raw)
    lists["cniVersion"] = version
    if at_least(own, FIRST_WITH_GC) and not at_least(version, FIRST_WITH_GC):
        _drop(lists, "interfaces", _NEW_IN_INTERFACES)
        _drop(lists, "routes", _NEW_IN_ROUTES)
    if version in BY_FAMILY:
        return _by_family(lists)
    if lists.get("ips"):
        lists["ips"] = [_with_family(ip, needed=version in WITH_FAMILY) for ip in lists["ips"]]
    return lists


def _by_family(lists: JSONObject) -> dict[str, Any]:
    """The first address of each family, with the routes of that family; interfaces have no place."""
    families: dict[str, Any] = {}
    for ip in lists.get("ips") or []:
        ip_only = _renamed(ip, "address", "ip", without={"version", "interface"})
        families.setdefault(_family(ip["address"]), ip_only)
    if not families:
        raise ResultError(
            f"the result has no address, and CNI version {lists['cniVersion']} has no form for that",
            cure='raise the "cniVersion" of the network',
        )
    for route in lists.get("routes") or []:
        family = families.get(_family(route["dst"]))
        if family is not None:
            family.setdefault("routes", []).append({key: route[key] for key in ("dst", "gw") if key in route})
    return _without(lists, {"interfaces", "ips", "routes"}) | families


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip4"


def _with_family(ip: JSONObject, *, needed: bool) -> dict[str, Any]:
    return _without(ip, {"version"}) | ({"version": _family(ip["address"])[-1]} if needed else {})


def _drop(lists: dict[str, Any], key: str, members: Collection[str]) -> None:
    if lists.get(key):
        lists[key] = [_without(item, members) for item in lists[key]]


def _renamed(value: JSONObject, old: str, new: str, *, without: Collection[str]) -> dict[str, Any]:
    return {new: value[old]} | _without(value, {old, *without})


def _without(value: JSONObject, members: Collection[str]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in members}
