"""Sources that several experiments quote."""

from experiments.model import Source

HOCKIN = "Tim Hockin, Why Kubernetes doesn't use libnetwork, Kubernetes blog"


def hockin(quote: str) -> Source:
    """The text that most of the claims are from."""
    return Source(HOCKIN, "2016-01-14", quote)


def issue(where: str, date: str, quote: str = "") -> Source:
    """A thread on GitHub: `libnetwork#139`."""
    return Source(f"GitHub, {where}", date, quote)
