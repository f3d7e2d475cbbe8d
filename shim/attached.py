"""What the record of an endpoint says of its attachment."""

from shim.cni.result import IP, Result
from shim.model import Endpoint
from shim.net.replay import Replayed
from shim.net.snapshot import Link, Snapshot


def result(endpoint: Endpoint) -> Result:
    """The chain's result; an empty one before there is any."""
    return Result.from_json(endpoint.result, "the journal")


def ips(endpoint: Endpoint) -> list[IP]:
    """The addresses in the sandbox, in the chain's order."""
    return result(endpoint).addresses(endpoint.ifname)


def addresses(endpoint: Endpoint) -> list[str]:
    """The same in CIDR form."""
    return [ip.address for ip in ips(endpoint)]


def snapshot(endpoint: Endpoint) -> Snapshot:
    """What the plugins made; an empty one before they did."""
    return Snapshot.from_json(endpoint.snapshot) if endpoint.snapshot else Snapshot()


def replayed(endpoint: Endpoint) -> Replayed:
    """What became of it in the sandbox; nothing before that is known."""
    return Replayed.from_json(endpoint.replayed) if endpoint.replayed else Replayed()


def link(endpoint: Endpoint) -> Link | None:
    """The link as it was after ADD."""
    return snapshot(endpoint).link(endpoint.ifname)


def mac(endpoint: Endpoint) -> str:
    """The MAC address in the sandbox; empty when there is none."""
    made = link(endpoint)
    return endpoint.mac_address or (made.mac if made else "")
