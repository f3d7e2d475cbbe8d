"""The pools of our IPAM driver: what the engine calls them, and which network they are for.

The engine asks an IPAM driver for a pool before it makes the network, and tells neither the network's ID nor
its `-o` options; later, at CreateNetwork, it tells the options and the subnets. What belongs together is
found here. A pool's ID says its CNI network, so that nothing has to be remembered once the network is made.
"""

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from shim.errors import ConflictError, InvalidRequestError
from shim.options import NETWORK

_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_ID = re.compile(r"(?P<token>[0-9a-f]{16}) (?P<subnet>[0-9a-f.:]+/\d+) (?P<cni_network>[^ ]*)", re.ASCII)

_PATIENCE = 60.0
"""Seconds after which no CreateNetwork will come any more for a pool."""
_ANNOUNCED = 10.0
"""Seconds after which no RequestPool will come any more for an announced network."""
_ALIKE = 4
"""Pools of one subnet that may wait for their networks at the same time."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet of a Docker network."""

    id: str
    subnet: str
    """In CIDR form; that of all addresses when it was not known yet."""
    cni_network: str
    """Empty when it was not known yet."""

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_network(self.subnet).version

    def holds(self, address: str) -> bool:
        """Whether the address is in it."""
        return ip_interface(address).ip in ip_network(self.subnet)

    @classmethod
    def parse(cls, pool_id: str) -> "Pool":
        """The pool of that ID. Raises `InvalidRequestError`."""
        match = _ID.fullmatch(pool_id)
        try:
            if match:
                return cls(pool_id, str(ip_network(match["subnet"])), match["cni_network"])
        except ValueError:
            pass
        raise InvalidRequestError(f"{pool_id!r} is no pool of the CNI driver")


class Pools:
    """Pools whose networks are still being made."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Pool, float]] = {}
        self._announced: list[tuple[str, float]] = []

    def announce(self, cni_network: str) -> None:
        """Note that a network with this option is about to be made (engines from 28)."""
        now = time.monotonic()
        self._announced = [item for item in self._announced if now - item[1] < _ANNOUNCED]
        self._announced.append((cni_network, now))

    def announced(self) -> str:
        """The network that is about to be made; empty when it is none or could be several."""
        names = {name for name, since in self._announced if time.monotonic() - since < _ANNOUNCED}
        return names.pop() if len(names) == 1 else ""

    def withdraw(self, cni_network: str) -> None:
        """Note that the network which was announced has been made, or refused."""
        for item in self._announced:
            if item[0] == cni_network:
                self._announced.remove(item)
                break

    def open(self, cni_network: str, subnet: str, *, said: bool = False) -> Pool:
        """A new pool. Raises `ConflictError` when too many like it wait for their networks.

        Unless the user has `said` the subnet, an engine that sees it in use on the host asks again, for ever.
        """
        now = time.monotonic()
        self._waiting = {
            key: (pool, since) for key, (pool, since) in self._waiting.items() if now - since < _PATIENCE
        }
        alike = [
            pool
            for pool, _ in self._waiting.values()
            if (pool.cni_network, pool.subnet) == (cni_network, subnet)
        ]
        if len(alike) >= _ALIKE and not said:
            raise ConflictError(
                f"the engine does not take the subnet {subnet}: it sees it in use on this host",
                cure=f"say that it is the right one, with --subnet {subnet}"
                if cni_network
                else f"name the CNI network, with --ipam-opt {NETWORK}=NAME",
            )
        pool = Pool(f"{secrets.token_hex(8)} {subnet} {cni_network}", subnet, cni_network)
        self._waiting[pool.id] = pool, now
        return pool

    def close(self, pool_id: str) -> None:
        """Forget a pool; harmless when it is not known."""
        self._waiting.pop(pool_id, None)

    def claim(self, subnets: Iterable[str], cni_network: str) -> tuple[str, tuple[str, ...]]:
        """The name that the pools of a network were asked for by, and the IDs of those without a name.

        `cni_network` is the one given at CreateNetwork, or empty. Raises `ConflictError` when both were
        given and differ, and when the pools of several networks cannot be told apart.
        """
        names: set[str] = set()
        nameless: list[str] = []
        for subnet in subnets:
            pools = [pool for pool, _ in self._waiting.values() if pool.subnet == subnet]
            named = [pool for pool in pools if pool.cni_network]
            unnamed = [pool for pool in pools if not pool.cni_network]
            mine = [pool for pool in named if cni_network in ("", pool.cni_network)]
            if mine:
                names |= {pool.cni_network for pool in mine}
                if len({pool.cni_network for pool in mine}) == 1:  # else nobody knows whose is which
                    self.close(mine[0].id)
            elif len(unnamed) == 1:
                nameless.append(unnamed[0].id)
                self.close(unnamed[0].id)
            elif unnamed:
                raise ConflictError(
                    "several networks are being made at once, and the engine does not say whose a pool is",
                    cure=f"name the CNI network to the IPAM driver: --ipam-opt {NETWORK}=NAME",
                )
            elif named:
                raise ConflictError(
                    f"--ipam-opt {NETWORK}={named[0].cni_network} and -o {NETWORK}={cni_network} differ",
                    cure="name the CNI network once",
                )
        return (names.pop() if len(names) == 1 else ""), tuple(nameless)


def everything(version: int) -> str:
    """The subnet of a pool whose own is not known; engines do not look whether it is in use."""
    return _EVERYTHING[version]
