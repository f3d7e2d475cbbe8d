"""A DHCP server on a bridge, and the daemon of the dhcp plugin, as the commands that run them."""

from pathlib import Path

BRIDGE = "cni-dhcp0"
ROUTER = "10.113.0.1"
FIRST = "10.113.0.10"
"""The first address that the server gives."""

MAKE_BRIDGE = (
    ("ip", "link", "add", BRIDGE, "type", "bridge"),
    ("ip", "address", "add", f"{ROUTER}/24", "dev", BRIDGE),
    ("ip", "link", "set", BRIDGE, "up"),
)
REMOVE_BRIDGE = ("ip", "link", "delete", BRIDGE)


def server(folder: Path, *, lease: int = 3600) -> list[str]:
    """The server on the bridge, which keeps its files in `folder`; `lease` in seconds."""
    settings = folder / "udhcpd.conf"
    settings.write_text(
        f"interface {BRIDGE}\nstart {FIRST}\nend 10.113.0.50\noption subnet 255.255.255.0\n"
        f"option router {ROUTER}\noption lease {lease}\nmin_lease {min(lease, 60)}\n"
        f"lease_file {folder}/leases\npidfile {folder}/pid\n"
    )
    (folder / "leases").touch()
    return ["busybox", "udhcpd", "-f", "-a", "10", str(settings)]


def daemon(plugin_path: Path, socket: Path) -> list[str]:
    """The plugin's daemon, which listens at `socket`."""
    return [str(plugin_path / "dhcp"), "daemon", "-socketpath", str(socket)]
