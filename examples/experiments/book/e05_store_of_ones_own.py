"""Whether Docker's key-value store could be one of Kubernetes' own, from its source."""

from experiments.model import (
    NEWEST,
    OLDER,
    Bridge,
    Claim,
    Degree,
    Documented,
    Judgement,
    fixed,
    stands,
)
from experiments.texts import hockin

CLAIM = Claim(
    id="E05",
    title="A key-value store of one's own",
    claim="To run Docker's global drivers without one more store, Kubernetes would have to provide a backend "
    "of "
    "its own for Docker's key-value interface.",
    sources=(
        hockin(
            "or else we would have to provide our own libkv implementation that was backed by Kubernetes. "
            "The latter sounds attractive, and we tried to implement it"
        ),
    ),
    procedure="The places in the engine's source where backends are registered were read, in 20.10 and in "
    "28.5.",
    predictions=(
        "The backends are compiled in: nothing can be plugged in without building another dockerd.",
    ),
    measured="What the source says.",
    section="Scope and key-value store",
)

DOCUMENTED = Documented(
    CLAIM,
    evidence=(
        (
            "20.10: libnetwork's store.go, registerKVStores, registers consul, zookeeper, etcd and boltdb by "
            "calling each package; there is no plugin type for a store."
        ),
        "The etcd backend speaks etcd's v2 API, which etcd 3.6 no longer has.",
        (
            "23.0 refuses the options --cluster-store and --cluster-advertise at its start; 24.0 no longer "
            "knows "
            "them; 25.0 keeps of libkv only boltdb, in a fork of its own."
        ),
    ),
    judgement=Judgement(
        verdicts={
            OLDER: stands("Four backends are compiled in, and none can be added."),
            NEWEST: fixed(
                "23.0", "There is no external store any more, and so nothing to provide a backend for."
            ),
        },
        bridge=Bridge(
            Degree.NO_NEED, "The shim declares itself local, and what nodes share is in Kubernetes."
        ),
        came_true=(True,),
    ),
)
