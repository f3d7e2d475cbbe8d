"""Whether Docker's own DNS server can be switched off."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.bench import Bench
from experiments.figures import Figure, Table
from experiments.model import (
    ENGINES,
    Bridge,
    Claim,
    Data,
    Degree,
    Experiment,
    Judgement,
    Verdict,
    refuted,
    stands,
    weakened,
)
from experiments.parts import Parts
from experiments.texts import hockin, issue

CLAIM = Claim(
    id="E20",
    title="The embedded DNS server",
    claim="Docker's own DNS server, in every container on a network of the user's, cannot be switched off.",
    sources=(
        hockin(
            "In version 1.10 Docker is planning to bundle a new DNS server, and it's unclear whether this "
            "will be able to be turned off."
        ),
        hockin("The bundled solutions are not sufficient for our needs but are not disableable."),
        issue("moby#19474 and moby#20941, closed; libnetwork#1085, open", "2016"),
    ),
    procedure="A container on each kind of network says which nameserver it is given; the rules for port "
    "53 in its namespace are "
    "counted. Then it is tried with --dns, with a resolv.conf of the user's mounted over it, and dockerd's "
    "and docker's "
    "options are searched for a switch.",
    predictions=(
        "On every network of the user's it is 127.0.0.11, also with --dns.",
        "No option of dockerd, network create or run switches it off.",
        "A mounted resolv.conf is left alone, though the server runs all the same.",
    ),
    measured="The nameserver and the redirecting rules for each kind of network; options that mention DNS.",
    section="Name service and hosts file",
)

_SERVER = "192.0.2.53"
_CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bridge of the user's": ("own", ()),
    "CNI network": ("cni", ()),
    "CNI network, --dns": ("cni", ("--dns", _SERVER)),
    "CNI network, mounted resolv.conf": ("cni", ("--volume", "/run/resolv.conf:/etc/resolv.conf:ro")),
    "default bridge": ("bridge", ()),
    "no network": ("none", ()),
}
_OF_THE_USER = ("bridge of the user's", "CNI network", "CNI network, --dns")
_MOUNTED = "CNI network, mounted resolv.conf"
_EMBEDDED = "127.0.0.11"


def measure(parts: Parts) -> Data:
    """On both engines."""
    return parts.each(_on)


def _on(bench: Bench) -> Data:
    bench.shell(f"echo 'nameserver {_SERVER}' > /run/resolv.conf")
    bench.docker("network", "create", "own")
    bench.network("cni", "cni-bridge")
    cases = {}
    for case, (network, options) in _CASES.items():
        bench.run("box", network, *options)
        resolv = bench.inside("box", "cat /etc/resolv.conf", check=False)
        rules = bench.shell(f"nsenter --target {bench.pid('box')} --net iptables-save -t nat")
        cases[case] = {
            "servers": re.findall(r"^nameserver (\S+)", resolv, re.MULTILINE),
            "rules": sum(_EMBEDDED in line for line in rules.splitlines()),
        }
        bench.docker("rm", "--force", "box")
    bench.shell("rm /run/resolv.conf")
    helps = [bench.dockerd_help(), bench.docker("network", "create", "--help"), bench.docker("run", "--help")]
    of_dns = sorted({option for text in helps for option in re.findall(r"--[a-z-]*dns[a-z-]*", text)})
    return {"cases": cases, "options": of_dns}


def judge(data: Data) -> Judgement:
    """By what is found on networks of the user's."""
    cases = [data[name]["cases"] for name in ENGINES]
    mounted = all(each[_MOUNTED]["servers"] == [_SERVER] for each in cases)
    return Judgement(
        verdicts={name: _verdict(data[name]) for name in ENGINES},
        bridge=Bridge(
            Degree.PARTLY,
            (
                "A mounted resolv.conf takes its place, which the user has to do; on a CNI network the "
                "server "
                "answers names of containers."
            ),
        )
        if mounted
        else Bridge(Degree.NOT_AT_ALL, "Not even a mounted resolv.conf takes its place."),
        came_true=(
            all(each[case]["servers"] == [_EMBEDDED] for each in cases for case in _OF_THE_USER),
            not any(_switches(data[name]["options"]) for name in ENGINES),
            mounted and all(each[_MOUNTED]["rules"] for each in cases),
        ),
    )


def _switches(options: Sequence[str]) -> list[str]:
    """Options that may switch it off; those known only say whom it asks."""
    known = {"--dns", "--dns-opt", "--dns-option", "--dns-search", "--host-gateway-ip"}
    return [option for option in options if option not in known]


def _verdict(data: Data) -> Verdict:
    embedded = [case for case in _OF_THE_USER if data["cases"][case]["servers"] == [_EMBEDDED]]
    switches = _switches(data["options"])
    if len(embedded) == len(_OF_THE_USER) and not switches:
        return stands(
            f"It is there in {len(embedded)} of {len(_OF_THE_USER)} cases, and none of the options "
            f"{', '.join(data['options'])} switches it off."
        )
    if switches:
        return weakened(
            f"It is there in {len(embedded)} of {len(_OF_THE_USER)} cases, and {', '.join(switches)} may "
            f"switch it off."
        )
    return refuted(f"It is there in {len(embedded)} of {len(_OF_THE_USER)} cases only.")


def show(data: Data) -> Sequence[Figure]:
    """What containers are given."""
    rows = [[case, *(_told(data[name]["cases"][case]) for name in ENGINES)] for case in _CASES]
    return [
        Table(
            "Nameservers, and rules that redirect to the embedded server", ["container on", *ENGINES], rows
        ),
        Table(
            "Options that mention DNS",
            ["engine", "options"],
            [[name, ", ".join(data[name]["options"])] for name in ENGINES],
        ),
    ]


def _told(case: Mapping[str, Any]) -> str:
    return f"{', '.join(case['servers']) or 'none'}; {case['rules']} rules"


EXPERIMENT = Experiment(CLAIM, measure, judge, show, quick=True)
