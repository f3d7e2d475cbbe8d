"""Whether CNI plugins of others run under Docker, from what they ask for."""

from experiments.model import Bridge, Claim, Degree, Documented, Judgement, alike, weakened
from experiments.texts import hockin

CLAIM = Claim(
    id="E82",
    title="Plugins of others",
    claim="Network integrators have to provide CNI drivers, which work with Kubernetes only.",
    sources=(
        hockin(
            "network integrators will have to provide CNI drivers if they want to fully integrate with "
            "Kubernetes"
        ),
    ),
    procedure=(
        "It was read in the documentation of third-party CNI plugins what they demand of a runtime. None "
        "of them "
        "runs here: they need agents and clusters of their own."
    ),
    predictions=("Many want to know the pod, by K8S_POD_NAME and K8S_POD_NAMESPACE in CNI_ARGS.",),
    measured="What the documentation says.",
    section="Side effects",
)

DOCUMENTED = Documented(
    CLAIM,
    evidence=(
        "The specification demands no pod: CNI_ARGS is optional, and CNI_CONTAINERID may be any identity.",
        (
            "Plugins made for Kubernetes read K8S_POD_NAME, K8S_POD_NAMESPACE and "
            "K8S_POD_INFRA_CONTAINER_ID, "
            "and ask "
            "the API server for the pod of that name."
        ),
    ),
    judgement=Judgement(
        verdicts=alike(
            weakened("The specification binds no plugin to Kubernetes; plugins that read the pod do.")
        ),
        bridge=Bridge(
            Degree.PARTLY,
            "With cni.identity=docker the plugins are told a name, a namespace and the container's ID; see "
            "E65. There "
            "is no pod of that name unless somebody makes one.",
        ),
        came_true=(True,),
    ),
)
