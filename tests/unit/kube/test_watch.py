"""The pauses between attempts, and how a scope calls itself."""

from shim.kube.backoff import Backoff
from shim.kube.objects import DOCKER_NETWORKS
from shim.kube.watch import Scope


def test_pauses_double_up_to_the_longest_and_differ_by_chance() -> None:
    limits = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    runs = [[backoff.pause() for _ in limits] for backoff in (Backoff(1.0, 8.0) for _ in range(50))]

    for pauses in runs:
        assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))
    assert len({pauses[0] for pauses in runs}) > 40


def test_after_a_success_pauses_are_short_again() -> None:
    backoff = Backoff(1.0, 8.0)
    for _ in range(5):
        backoff.pause()

    backoff.reset()

    assert backoff.pause() <= 1.0


def test_a_server_that_names_a_pause_gets_half_of_it_at_least() -> None:
    assert 15.0 <= Backoff(1.0, 8.0).pause(at_least=30.0) <= 30.0


def test_a_scope_says_what_is_watched() -> None:
    assert str(Scope(DOCKER_NETWORKS)) == "dockernetworks.cnm-cni.io"
    assert (
        str(Scope(DOCKER_NETWORKS, "team-a", "a=b"))
        == "dockernetworks.cnm-cni.io in namespace team-a with a=b"
    )
