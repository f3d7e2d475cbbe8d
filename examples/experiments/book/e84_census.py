"""What became of the drivers that vendors were to write, from their repositories."""

from experiments.model import Bridge, Claim, Degree, Documented, Judgement, alike, refuted
from experiments.texts import hockin

CLAIM = Claim(
    id="E84",
    title="Who wrote drivers",
    claim="Vendors will write plugins for Docker, and everybody is better off using those.",
    sources=(
        hockin(
            "After all, vendors will almost certainly be writing plugins for Docker — we would all be "
            "better off "
            "using the same drivers, right?"
        ),
    ),
    procedure=(
        "The repositories of the well-known remote network drivers were looked at, for their last releases."
    ),
    predictions=("Most are no longer maintained, while the CNI plugins of the same vendors are.",),
    measured="The last release or commit of each driver.",
    section="Side effects",
)

DOCUMENTED = Documented(
    CLAIM,
    evidence=(
        "Calico: the libnetwork plugin is not in releases after 2.6; the CNI plugin is in every one.",
        "Weave: the last commit is of 2022-11.",
        "Cilium: the Docker plugin was deprecated in 2025-01 (#37357) and removed in 2026-06 (#46489).",
        "Kuryr-libnetwork, for OpenStack, still has commits that keep it alive (2026-06).",
    ),
    judgement=Judgement(
        verdicts=alike(
            refuted("Of four well-known drivers one is still kept alive, while CNI plugins are many.")
        ),
        bridge=Bridge(
            Degree.FULLY, "What those vendors still maintain, their CNI plugins, can be run under Docker."
        ),
        came_true=(True,),
    ),
)
