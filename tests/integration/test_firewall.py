"""Rules for published ports, in the real iptables of the private namespace."""

import subprocess
from collections.abc import Iterator

import pytest

from shim import firewall
from shim.firewall import FirewallError
from shim.model import EndpointID
from tests.integration.host import run

ENDPOINT = EndpointID("4f1c" * 16)
OTHER = EndpointID("5e2d" * 16)
MAPPINGS = [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 9000, "containerPort": 53, "protocol": "udp"},
]


@pytest.fixture(autouse=True)
def _empty_tables() -> Iterator[None]:
    """Other tests of this folder leave the chains that plugins make once."""
    saved = {program: run(f"{program}-save", "-t", "filter") for program in ("iptables", "ip6tables")}
    for program in saved:
        run(program, "-F")
        run(program, "-X")
    yield
    for program, rules in saved.items():
        subprocess.run([f"{program}-restore"], input=rules, text=True, check=True)


@pytest.fixture
def chain() -> None:
    """The chain that the `firewall` plugin makes at its first ADD."""
    for program in ("iptables", "ip6tables"):
        run(program, "-N", "CNI-FORWARD")


@pytest.mark.usefixtures("chain")
async def test_each_port_of_each_address_gets_a_rule_for_redirected_packets() -> None:
    await firewall.accept(ENDPOINT, ["10.1.0.5/24", "fd00::5/64"], MAPPINGS)

    four, six = _rules("iptables"), _rules("ip6tables")
    assert [" -p tcp " in rule for rule in four] == [True, False]
    assert all(rule.startswith("-A CNI-FORWARD -d 10.1.0.5/32 ") for rule in four)
    assert all(rule.startswith("-A CNI-FORWARD -d fd00::5/128 ") for rule in six)
    assert all("--ctstate DNAT" in rule and rule.endswith("-j ACCEPT") for rule in four + six)
    assert ["--dport 80" in rule for rule in six] == [True, False]


@pytest.mark.usefixtures("chain")
async def test_only_the_endpoints_own_rules_are_withdrawn() -> None:
    await firewall.accept(OTHER, ["10.1.0.6/24"], MAPPINGS)
    others = _rules("iptables")
    await firewall.accept(ENDPOINT, ["10.1.0.5/24", "fd00::5/64"], MAPPINGS)

    await firewall.withdraw(ENDPOINT, ["10.1.0.5/24", "fd00::5/64"])

    assert (_rules("iptables"), _rules("ip6tables")) == (others, [])


@pytest.mark.usefixtures("chain")
async def test_what_somebody_else_removed_does_not_keep_the_rest() -> None:
    await firewall.accept(ENDPOINT, ["10.1.0.5/24"], MAPPINGS)
    run("iptables", "-D", "CNI-FORWARD", "1")

    await firewall.withdraw(ENDPOINT, ["10.1.0.5/24"])
    await firewall.withdraw(ENDPOINT, ["10.1.0.5/24"])

    assert _rules("iptables") == []


async def test_without_the_plugins_chain_nothing_is_done() -> None:
    await firewall.accept(ENDPOINT, ["10.1.0.5/24"], MAPPINGS)
    await firewall.withdraw(ENDPOINT, ["10.1.0.5/24"])

    assert _rules("iptables") == []


async def test_a_host_without_iptables_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(FirewallError, match=r"iptables-save: not found \(install iptables"):
        await firewall.accept(ENDPOINT, ["10.1.0.5/24"], MAPPINGS)


def _rules(program: str) -> list[str]:
    """The rules of the plugin's chain, none when there is no such chain."""
    run = subprocess.run([program, "-S", "CNI-FORWARD"], capture_output=True, text=True, check=False)
    return run.stdout.splitlines()[1:]
