"""Docker's subnets, gateways and ranges against those of the conflist, pure."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_interface, ip_network

from shim import translate
from shim.cni import ipam
from shim.cni.conf import NetworkConfigList
from shim.cni.ipam import Subnet
from shim.errors import InvalidRequestError
from shim.model import Ipam, Network
from shim.options import NETWORK, NetworkOptions
from shim.pools import everything
from shim.wire.messages import AddressPool

_IPV6 = 6
_NULL = "null"
"""The address space of `--ipam-driver null`."""


def chooser(given: Sequence[AddressPool], options: NetworkOptions, driver: str) -> Ipam:
    """Who chooses the addresses of a network, by its pools; `driver` is the name of our IPAM driver.

    Raises `InvalidRequestError` when that is somebody else than the options say, or than they have to say.
    """
    spaces = {pool.address_space for pool in given} or {_NULL}
    dockers = [pool.pool for pool in given if pool.address_space not in {_NULL, driver}]
    named = f" -o {NETWORK}={options.cni_network}" if options.cni_network else ""
    if spaces == {_NULL}:
        chosen, typed = Ipam.NULL, _NULL
    elif spaces == {driver}:
        chosen, typed = Ipam.CNI, driver
    elif options.ipam is Ipam.DOCKER and options.cni_network:
        return Ipam.DOCKER
    elif options.ipam is Ipam.DOCKER:
        raise InvalidRequestError(
            "with -o cni.ipam=docker the CNI network must be named when the Docker network is created",
            cure=f"add -o {NETWORK}=NAME",
        )
    else:
        raise InvalidRequestError(
            f"Docker's IPAM wants to give out {dockers[0]}, but in a CNI network the chain's IPAM does",
            cure=f"type: docker network create -d {driver} --ipam-driver {options.ipam or _NULL}{named} "
            "NAME; or let it, with -o cni.ipam=docker and the conflist's --subnet",
        )
    if options.ipam not in {None, chosen}:
        raise InvalidRequestError(
            f"-o cni.ipam={options.ipam} contradicts --ipam-driver {typed}", cure="leave one of them out"
        )
    return chosen


def refuse_no_ipv4(chosen: Ipam) -> None:
    """Raises `InvalidRequestError` for `--ipv4=false` where nobody asks the chain for IPv6 alone."""
    if chosen is Ipam.NULL:
        raise InvalidRequestError(
            "--ipv4=false needs --ipam-driver cni and --ipv6: else the chain's IPAM plugin chooses the "
            "families",
            cure="leave it out where the conflist gives IPv6 alone",
        )


def check(given: Sequence[AddressPool], conflist: NetworkConfigList, network: Network) -> None:
    """Raises `InvalidRequestError` when Docker's subnets or gateways are not those of the conflist."""
    known = ipam.subnets(conflist)
    if network.ipam is Ipam.NULL:
        # Engines say that IPv4 is wanted also where it was not asked for.
        if known and everything(_IPV6) in {pool.pool for pool in given}:
            fitting(known, "", _IPV6, network.cni_network)
        return
    if network.ipam is Ipam.DOCKER and translate.routes_each_address(conflist):
        raise InvalidRequestError(
            f"network {network.cni_network}: ptp needs addresses without a subnet, which Docker's IPAM does "
            "not give",
            cure="create it with --ipam-driver null, or --ipam-driver cni",
        )
    for pool in given:
        version = ip_network(pool.pool).version
        if pool.pool == everything(version):  # the engine's IPAM driver was not told the CNI network
            if known:
                fitting(known, "", version, network.cni_network)
            continue
        subnet = fitting(known, pool.pool, version, network.cni_network)
        gateway = str(ip_interface(pool.gateway).ip) if pool.gateway else ""
        refuse_other_gateway(subnet, gateway, network.cni_network)


def fitting(known: Iterable[Subnet], wanted: str, version: int, cni_network: str) -> Subnet:
    """The subnet of a conflist that the user wants, or its first of that family.

    Raises `InvalidRequestError` when there is none, or the user's is another.
    """
    known = list(known)
    if wanted and not known:  # such as an IPAM plugin whose section nobody here can read
        return Subnet(wanted)
    subnets = [subnet for subnet in known if subnet.version == version]
    if not subnets:
        cure = "leave --ipv6 out" if version == _IPV6 else "create the Docker network with --ipam-driver null"
        raise InvalidRequestError(
            f"network {cni_network}: its conflist tells no IPv{version} subnet",
            cure=cure if known else f"{cure}, or say the subnet with --subnet",
        )
    for subnet in subnets:
        if not wanted or subnet.network == wanted:
            return subnet
    raise InvalidRequestError(
        f"--subnet {wanted} differs from the subnet of CNI network {cni_network}, "
        f"{' and '.join(subnet.network for subnet in subnets)}",
        cure=f"create it with --subnet {subnets[0].network}",
    )


def refuse_other_gateway(subnet: Subnet, gateway: str, cni_network: str) -> None:
    """Raises `InvalidRequestError` when Docker's gateway (an address) is not the conflist's."""
    if subnet.gateway and gateway and ip_address(gateway) != ip_address(subnet.gateway):
        raise InvalidRequestError(
            f"gateway {gateway} differs from that of CNI network {cni_network}, {subnet.gateway}",
            cure=f"create it with --gateway {subnet.gateway}",
        )


def refuse_other_range(subnet: Subnet, wanted: str, cni_network: str) -> None:
    """Raises `InvalidRequestError` unless all addresses that the conflist gives are in `--ip-range`."""
    if not wanted or not subnet.first:
        return
    if not all(ip_address(address) in ip_network(wanted) for address in (subnet.first, subnet.last)):
        raise InvalidRequestError(
            f"--ip-range {wanted} differs from what CNI network {cni_network} gives, "
            f"{subnet.first} to {subnet.last}",
            cure="leave it out, or change the range in the conflist",
        )


def refuse_without_link(conflist: NetworkConfigList) -> None:
    """Raises `InvalidRequestError` unless the IPAM plugin can give addresses before there is a link."""
    if ipam.kind(conflist) not in {"", ipam.DHCP}:
        return
    reason = f"{ipam.DHCP} needs the link, which is not there yet when Docker asks for the address"
    raise InvalidRequestError(
        f"network {conflist.name}: " + (reason if ipam.kind(conflist) else "it has no IPAM plugin"),
        cure="create the Docker network with --ipam-driver null by handover, the default: without "
        "cni.identity and cni.mode=inplace",
    )
