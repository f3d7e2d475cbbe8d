"""The way to Kubernetes: which one is taken, and when there is none."""

from pathlib import Path

import pytest

from shim.config import Kubernetes
from shim.kube import access
from shim.kube.access import Kubeconfig, TokenAccess

IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a pod has its credentials."""
    monkeypatch.setattr(access, "_POD", tmp_path)
    (tmp_path / "token").write_text("secret")
    return tmp_path


@pytest.mark.usefixtures("pod")
def test_without_any_hint_kubernetes_is_not_used() -> None:
    assert access.find(Kubernetes(), {}) is None


def test_a_kubeconfig_of_the_settings_wins_over_everything() -> None:
    settings = Kubernetes(kubeconfig=Path("/set"), server="https://x", token_file=Path("/t"))

    assert access.find(settings, {"KUBECONFIG": "/env", **IN_POD}) == Kubeconfig((Path("/set"),))


def test_a_server_of_the_settings_wins_over_the_environment() -> None:
    settings = Kubernetes(server="https://x", token_file=Path("/t"), ca_file=Path("/ca"))

    assert access.find(settings, {"KUBECONFIG": "/env"}) == TokenAccess("https://x", Path("/t"), Path("/ca"))


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("value", "paths"), [("/a", ("/a",)), ("/a:/b", ("/a", "/b")), (":/a:", ("/a",)), ("/a b", ("/a b",))]
)
def test_the_environment_may_name_several_kubeconfigs(value: str, paths: tuple[str, ...]) -> None:
    found = access.find(Kubernetes(), {"KUBECONFIG": value, **IN_POD})

    assert found == Kubeconfig(tuple(map(Path, paths)))


@pytest.mark.parametrize(
    ("environment", "server"),
    [
        (IN_POD, "https://10.0.0.1:443"),
        ({**IN_POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, "https://[fd00::1]:443"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "https://10.0.0.1:443"),
        ({**IN_POD, "KUBECONFIG": ""}, "https://10.0.0.1:443"),
    ],
)
def test_in_a_pod_its_service_account_is_used(pod: Path, environment: dict[str, str], server: str) -> None:
    assert access.find(Kubernetes(), environment) == TokenAccess(server, pod / "token", pod / "ca.crt")


def test_a_pod_without_a_token_has_no_access(pod: Path) -> None:
    (pod / "token").unlink()

    assert access.find(Kubernetes(), IN_POD) is None


@pytest.mark.usefixtures("pod")
def test_what_is_switched_off_is_not_used() -> None:
    settings = Kubernetes(enabled=False, kubeconfig=Path("/set"))

    assert access.find(settings, {"KUBECONFIG": "/env", **IN_POD}) is None
