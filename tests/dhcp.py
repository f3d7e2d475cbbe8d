"""A DHCP server, and the daemon of the dhcp plugin, as the commands that run them."""

from pathlib import Path


def server(folder: Path, link: str, *, renewal: int = 1800) -> list[str]:
    """A server for 10.113.0.0/24 on a link, which keeps its files in `folder`.

    Clients have to renew a lease after `renewal` seconds, long before its end.
    """
    settings = folder / "udhcpd.conf"
    settings.write_text(
        f"interface {link}\nstart 10.113.0.10\nend 10.113.0.50\noption subnet 255.255.255.0\n"
        f"option router 10.113.0.1\noption lease 3600\noption 0x3a {renewal:08x}\n"
        f"lease_file {leases(folder)}\npidfile {folder}/pid\n"
    )
    leases(folder).touch()
    return ["busybox", "udhcpd", "-f", "-a", "10", str(settings)]


def leases(folder: Path) -> Path:
    """Where the server writes its leases, for `dumpleases`, when SIGUSR1 tells it to."""
    return folder / "leases"


def daemon(plugin_path: Path, socket: Path) -> list[str]:
    """The plugin's daemon, which listens at `socket`."""
    return [str(plugin_path / "dhcp"), "daemon", "-socketpath", str(socket)]
