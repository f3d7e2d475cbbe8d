"""The words of the project as plain data: what is known of a network and of an endpoint.

Nothing here does input or output. `store.py` keeps these records; `driver.py` and `reconcile.py`
change them along the table in `lifecycle.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

JSONObject = Mapping[str, Any]
"""A JSON object as `json.loads` gives it."""

PortMapping = dict[str, Any]
"""One entry of CNI's `portMappings` capability: hostPort, containerPort, protocol, hostIP if given."""

NetworkID = NewType("NetworkID", str)
"""Docker's own ID of a network: 64 hexadecimal digits, chosen by the engine."""

EndpointID = NewType("EndpointID", str)
"""Docker's own ID of a container's attachment to a network; new at every container start."""


class EndpointState(StrEnum):
    """How far an endpoint has come. A state ending in `-ING` is an intent, the others are outcomes."""

    PLANNED = "planned"
    """The engine knows the address; ADD waits for Join, when sandbox and container can be known."""
    ADDING = "adding"
    """The chain's ADD is under way, or was when the shim died."""
    CREATED = "created"
    """ADD is done; the link stands where the chain made it."""
    JOINING = "joining"
    """The link is on its way from the staging namespace to the engine's."""
    JOINED = "joined"
    """The engine has been told where the link is, and moves it into the sandbox."""
    LEAVING = "leaving"
    """The chain's DEL is under way, or failed and will be tried again."""
    LEFT = "left"
    """DEL is done; nothing but the record remains."""


class Ipam(StrEnum):
    """Who chooses the addresses of a Docker network: the value of its option `cni.ipam`."""

    NULL = "null"
    """The chain's IPAM plugin, within the chain (`--ipam-driver null`)."""
    CNI = "cni"
    """The same plugin, alone, when the engine asks our IPAM driver (`--ipam-driver cni`)."""
    DOCKER = "docker"
    """Docker's IPAM, or an IPAM driver of somebody else; the chain is told what it chose."""


class Mode(StrEnum):
    """How a container gets its link: the value of a network's option `cni.mode`."""

    HANDOVER = "handover"
    """The chain's ADD runs in a staging namespace, and the engine moves the link."""
    INPLACE = "inplace"
    """It runs in the container's own, at Join; where that does not exist yet, by handover after all."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A NetworkAttachmentDefinition: a logical network, as Kubernetes has it."""

    namespace: str
    name: str
    config: str
    """Its `spec.config`; empty when the conflist of that name on the node is meant."""


@dataclass(frozen=True, slots=True)
class Network:
    """A Docker network and what it is bound to."""

    id: NetworkID
    cni_network: str
    """The `name` of a conflist on the node, or `namespace/name` of a NetworkAttachmentDefinition.

    Empty until known: without `-o cni.network` it is the Docker network's own name, which the
    engine tells nobody before the first endpoint.
    """
    definition: Definition | None = None
    """What the NetworkAttachmentDefinition said when it was last seen: it serves while Kubernetes is away."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The `-o` options as the user typed them."""
    internal: bool = False
    """Made with `--internal`: endpoints get no default route, and nothing masquerades for them."""
    ipam: Ipam = Ipam.NULL
    ipv6: bool = False
    """Whether the engine asks for IPv6 addresses: for a container where IPv6 is off, it asks for none."""
    gateways: tuple[str, ...] = ()
    """Those of the engine's pools, when its IPAM chooses the addresses."""
    pool_ids: tuple[str, ...] = ()
    """Pools of our IPAM driver that were asked for before the CNI network was known."""
    created_at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One CNI attachment: all that DEL needs, however much later and whatever the files say then."""

    id: EndpointID
    """Docker's endpoint ID; also `CNI_CONTAINERID`."""
    network_id: NetworkID
    state: EndpointState
    conflist: JSONObject
    """The effective network configuration list of ADD time."""
    ifname: str
    """`CNI_IFNAME` of ADD; empty until Join when it depends on the sandbox."""
    netns: str
    """`CNI_NETNS` of ADD: path of the staging network namespace, or of the sandbox."""
    mode: Mode = Mode.HANDOVER
    cni_args: tuple[tuple[str, str], ...] = ()
    """`CNI_ARGS` of ADD, in order."""
    capability_args: JSONObject = field(default_factory=dict)
    """`runtimeConfig` of ADD by capability, such as `portMappings`."""
    mac_address: str = ""
    """The MAC address asked for by `--mac-address`, if any."""
    shared_ports: tuple[PortMapping, ...] = ()
    """Asked for, and left to an endpoint that publishes them; Join shows if it is of the same container."""
    result: JSONObject | None = None
    """The chain's final result."""
    snapshot: JSONObject | None = None
    """What the plugins did to the link, as `net.snapshot.Snapshot` writes it."""
    lease_ifname: str = ""
    """`CNI_IFNAME` of the IPAM plugin's own ADD in the sandbox, where its lease had to follow the link."""
    replayed: JSONObject | None = None
    """What became in the sandbox of all that the plugins made, as `net.replay.Replayed` writes it."""
    reservations: tuple[str, ...] = ()
    """IDs of the reservations that its addresses are from, where they were reserved beforehand."""
    sandbox_key: str = ""
    """The engine's path of the container's network namespace, once joined."""
    boot_id: str = ""
    """The kernel's boot ID of ADD time: another one now means that nothing of it is left in the kernel."""
    created_at: float = 0.0
    """Seconds since the epoch."""
    last_error: str = ""
    """Why the last attempt to remove it failed."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Addresses that an IPAM plugin gave before there was an endpoint to attach."""

    id: str
    """`CNI_CONTAINERID` of the plugin's ADD and DEL: 64 hexadecimal digits."""
    conflist: JSONObject
    """The IPAM plugin as a list of its own."""
    cni_args: tuple[tuple[str, str], ...] = ()
    capability_args: JSONObject = field(default_factory=dict)
    result: JSONObject | None = None
    """The plugin's result; None while ADD is under way."""
    held: Mapping[str, str] = field(default_factory=dict)
    """The addresses that the engine was given and has not released, without prefix length, each with
    the ID of its pool."""
    network_id: str = ""
    """The Docker network that sets the address aside for good (`--aux-address`)."""
    created_at: float = 0.0
    """Seconds since the epoch."""
    last_error: str = ""
    """Why the last attempt to give it back failed."""
