"""`cnm-cni endpoint check`: the chain's CHECK, asked of the containers as they are now.

Plugins compare the container with the result of ADD. By then the engine may have given the link another name
or MAC address, its address another prefix length, and the default route to another network; so they get the
result as it is in the container. Nothing here needs the daemon.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from shim import attached, printed, views
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.exec import Exec
from shim.cni.result import Result
from shim.cni.runtime import Attachment, Runtime
from shim.config import Settings
from shim.errors import InvalidRequestError, ShimError
from shim.model import Endpoint, EndpointState, JSONObject
from shim.net.links import Links
from shim.net.namespaces import is_namespace
from shim.net.snapshot import Link, Snapshot
from shim.net.thread import NetlinkThread

_DEFAULTS = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of the CHECK of one endpoint."""

    endpoint: Endpoint
    error: str = ""
    """Empty: all is as the plugins made it."""


async def check(settings: Settings, wanted: str = "") -> list[Checked]:
    """Run CHECK for the endpoint whose ID begins with `wanted`, or for all that containers have joined.

    Raises `InvalidRequestError` when no endpoint is meant, or one that no container has joined.
    """
    _, endpoints = await views.journal(settings)
    chosen = [item for item in endpoints if _is_joined(item)]
    if wanted:
        chosen = [_joined(views.matching(endpoints, wanted, lambda item: item.id))]
    netlink = NetlinkThread()
    runtime = Runtime(
        Exec(lambda *_: None),
        settings.plugin_path,
        add_deadline=settings.deadlines.add,
        delete_deadline=settings.deadlines.delete,
    )
    try:
        return [await _checked(endpoint, runtime, Links(netlink)) for endpoint in chosen]
    finally:
        netlink.close()


def shown(checks: Sequence[Checked], *, as_json: bool) -> str:
    """The outcomes, one line each, or as JSON."""
    if as_json:
        return printed.json_text([_to_json(item) for item in checks])
    return printed.table(
        ("ENDPOINT ID", "CNI NETWORK", "CHECK"),
        [
            (item.endpoint.id[:12], item.endpoint.conflist["name"], item.error or "as it was made")
            for item in checks
        ],
    )


def in_container(result: Result, endpoint: Endpoint, found: Link, sandbox: Snapshot) -> Result:
    """The result of ADD as it is in the container, where the link is `found` now."""
    raw: dict[str, Any] = result.relocated(
        endpoint.netns, endpoint.ifname, endpoint.sandbox_key, found.name
    ).to_json()
    if raw.get("interfaces") and found.mac:
        raw["interfaces"] = [
            {**item, "mac": found.mac} if _is_link(item, endpoint, found) else item
            for item in raw["interfaces"]
        ]
    addresses = {ip_interface(address).ip: address for address in found.addresses}
    defaults = {route.destination for route in sandbox.routes if route.link == found.name}
    if raw.get("ips"):
        raw["ips"] = [
            {**ip, "address": addresses.get(ip_interface(ip["address"]).ip, ip["address"])}
            for ip in raw["ips"]
        ]
    if raw.get("routes"):
        raw["routes"] = [
            route for route in raw["routes"] if route["dst"] not in _DEFAULTS or route["dst"] in defaults
        ]
    return Result.from_json(raw, "the result in the container")


async def _checked(endpoint: Endpoint, runtime: Runtime, links: Links) -> Checked:
    sandbox = Path(endpoint.sandbox_key)
    if not is_namespace(sandbox):
        return Checked(endpoint, f"its sandbox {sandbox} is gone")
    conflist = NetworkConfigList.from_json(endpoint.conflist, "the journal")
    try:
        seen = await links.outline(sandbox)
        link = attached.link(endpoint)
        found = link and await links.find(sandbox, replace(link, mac=attached.mac(endpoint)))
        if link is not None and found is None:
            return Checked(endpoint, f"its link {link.name} is gone from the container")
        present = found or Link(endpoint.ifname, "", 0, ())
        attachment = Attachment(
            container_id=endpoint.id,
            netns=str(sandbox),
            ifname=present.name,
            args=endpoint.cni_args,
            capability_args=endpoint.capability_args,
        )
        result = in_container(attached.result(endpoint), endpoint, present, seen)
        if ipam.kind(conflist) == ipam.DHCP:  # whose CHECK may take a second lease, for nobody
            await runtime.check(ipam.settled(conflist, result.ips, result), attachment, result)
        elif present.name != endpoint.ifname and ipam.kind(conflist) not in {"", ipam.SETTLED}:
            await _check_renamed(runtime, conflist, attachment, endpoint.ifname, result)
        else:
            await runtime.check(conflist, attachment, result)
    except ShimError as error:
        return Checked(endpoint, str(error))
    return Checked(endpoint)


async def _check_renamed(
    runtime: Runtime, conflist: NetworkConfigList, attachment: Attachment, ifname: str, result: Result
) -> None:
    """CHECK under two names: that of the link now, and that of ADD, which the IPAM plugin has noted."""
    await runtime.check(ipam.settled(conflist, result.ips, result), attachment, result)
    await runtime.check(ipam.alone(conflist), replace(attachment, ifname=ifname), result)


def _is_link(interface: JSONObject, endpoint: Endpoint, found: Link) -> bool:
    return (interface.get("sandbox"), interface["name"]) == (endpoint.sandbox_key, found.name)


def _joined(found: Endpoint) -> Endpoint:
    if not _is_joined(found):
        raise InvalidRequestError(
            f"endpoint {found.id[:12]} is {found.state}: no container has it",
            cure="see `cnm-cni endpoint ls`",
        )
    return found


def _is_joined(endpoint: Endpoint) -> bool:
    return endpoint.state is EndpointState.JOINED


def _to_json(item: Checked) -> dict[str, str]:
    return {"id": item.endpoint.id, "cniNetwork": item.endpoint.conflist["name"], "error": item.error}
