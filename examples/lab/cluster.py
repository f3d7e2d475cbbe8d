"""A Kubernetes control plane on a LAN of its own, which engines and other programs can join.

There are no kubelets and no controllers: an API server with TLS and RBAC, and its etcd, both real.
"""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import kubernetes
from lab.certificates import Authority, Pair, key_pair
from lab.daemon import Daemon
from lab.errors import LabError
from lab.room import Room

ADDRESS = "192.0.2.1"
"""The API server's address on the LAN."""
SERVER = f"https://{ADDRESS}:6443"
UPLINK = "to-lan"
"""The name of the link to the LAN in whatever has joined."""

_PATIENCE = 30.0
"""Seconds that a new kind of objects may take to be served."""

_BRIDGE = "lan0"
_BRIDGE_MAC = "02:00:c0:00:02:01"
"""Its own: a bridge without one takes that of a port, and another when that leaves, and its neighbours may
learn of it a minute later."""
_ETCD = "etcd"
_API_SERVER = "kube-apiserver"

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["ResponseStarted", "ResponseComplete", "Panic"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request that the API server got, as its audit log has it."""

    user: str
    verb: str
    resource: str
    """Plural, with its subresource if any."""
    namespace: str
    at: str
    """When it came, RFC 3339."""


class Cluster(Room):
    """A running control plane in a room of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = kubernetes.programs()
        """The folder with kubectl."""
        self._pki = folder / "pki"
        self._audit_log = folder / "audit.log"

    def join(self, pid: int, address: str) -> None:
        """Connect the network namespace of process `pid` to the LAN; `address` is its own there (CIDR)."""
        port = f"port{pid}"
        peer = ("peer", "name", UPLINK, "netns", str(pid))
        _run("ip", "link", "add", port, "netns", str(self.pid), "type", "veth", *peer)
        self.run(["ip", "link", "set", port, "master", _BRIDGE, "up"])
        inside = ("nsenter", "--target", str(pid), "--net", "ip")
        _run(*inside, "address", "add", address, "dev", UPLINK)
        _run(*inside, "link", "set", UPLINK, "up")

    def accepts(self, address: str, port: int) -> bool:
        """Whether something listens on that TCP port, as seen on the LAN."""
        return self.run(["bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"], check=False).returncode == 0

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints to its standard output, run as the administrator. Raises `LabError`."""
        return self.run_kubectl(*arguments, stdin=stdin, check=check).stdout

    def run_kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the cluster's administrator; the rest is as with `run`."""
        command = [str(self.programs / "kubectl"), *arguments]
        environment = {"KUBECONFIG": str(self.folder / "admin.conf"), "HOME": str(self.folder)}
        return self.run(command, stdin=stdin, check=check, environment=environment)

    def install(self, manifest: Path) -> None:
        """Apply a file, and wait until kubectl knows the kinds of objects it defines. Raises `LabError`."""
        self.kubectl("apply", "-f", str(manifest))
        end = time.monotonic() + _PATIENCE
        for kind in self.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.name}").split():
            while f"{kind}\n" not in self._kinds():
                if time.monotonic() > end:
                    raise LabError(f"the API server does not come to serve {kind}")
                time.sleep(0.1)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def token(self, namespace: str, service_account: str) -> str:
        """A new token of that service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request))
        token: str = json.loads(answer)["status"]["token"]
        return token

    def kubeconfig(self, name: str, user: dict[str, Any], server: str = SERVER) -> Path:
        """A new kubeconfig file, called `name`, with that user section."""
        cluster = {"server": server, "certificate-authority": str(self.authority.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "current-context": "lab",
        }
        path = self.folder / f"{name}.conf"
        path.write_text(json.dumps(content))  # JSON is YAML
        return path

    def requests(self, since: int = 0) -> list[ApiRequest]:
        """The requests that the API server has got, but for the first `since` ones, in order."""
        with self._audit_log.open() as log:
            entries = [json.loads(line) for line in log]
        return [_request(entry) for entry in entries[since:]]

    @property
    def request_count(self) -> int:
        """How many requests the API server has got so far, for `requests`."""
        with self._audit_log.open() as log:
            return sum(1 for _ in log)

    @property
    def api_server(self) -> Daemon:
        """The running API server. Raises `LabError` when there is none."""
        return self.daemon(_API_SERVER)

    def start_etcd(self) -> None:
        """Start etcd, with what it had stored before."""
        urls = {"client": "http://127.0.0.1:2379", "peer": "http://127.0.0.1:2380"}
        self.start(
            _ETCD,
            [
                *(self.programs / "etcd", "--data-dir", self.folder / "etcd"),
                *("--listen-client-urls", urls["client"], "--advertise-client-urls", urls["client"]),
                *("--listen-peer-urls", urls["peer"]),
            ],
            lambda: self.accepts("127.0.0.1", 2379),
        )

    def kill_etcd(self) -> None:
        """End etcd as a crash would."""
        self.kill(_ETCD)

    def start_api_server(self, certificate: Pair | None = None) -> None:
        """Start the API server, with a certificate other than its own if given."""
        serving = certificate or self._serving
        self.start(
            _API_SERVER,
            [
                self.programs / "kube-apiserver",
                "--etcd-servers=http://127.0.0.1:2379",
                f"--bind-address={ADDRESS}",
                f"--client-ca-file={self.authority.certificate}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
                "--authorization-mode=RBAC",
                "--delete-collection-workers=10",
                "--disable-admission-plugins=ServiceAccount",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._accounts.certificate}",
                f"--service-account-signing-key-file={self._accounts.key}",
                f"--audit-log-path={self._audit_log}",
                f"--audit-policy-file={self.folder / 'audit-policy.json'}",
            ],
            self._is_ready,
        )

    def kill_api_server(self) -> None:
        """End the API server as a crash would."""
        self.kill(_API_SERVER)

    def _furnish(self) -> None:
        self._pki.mkdir()
        self.authority = Authority(self._pki)
        self._serving = self.authority.issue("server", "/CN=kube-apiserver", alternatives=f"IP:{ADDRESS}")
        self._accounts = key_pair(self._pki, "accounts")
        self._administrator = self.authority.issue("admin", "/O=system:masters/CN=admin")
        self.kubeconfig("admin", client_certificate(self._administrator))
        (self.folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        self.run(["ip", "link", "add", _BRIDGE, "address", _BRIDGE_MAC, "type", "bridge"])
        self.run(["ip", "address", "add", f"{ADDRESS}/24", "dev", _BRIDGE])
        self.run(["ip", "link", "set", _BRIDGE, "up"])
        self.start_etcd()
        self.start_api_server()

    def _kinds(self) -> str:
        """The kinds of objects that the API server serves now, whatever kubectl has cached."""
        shutil.rmtree(self.folder / ".kube", ignore_errors=True)
        return self.kubectl("api-resources", "-o", "name")

    def _is_ready(self) -> bool:
        """Asked without regard to the server's certificate, which may be a wrong one on purpose."""
        answer = self.run(
            [
                *(self.programs / "kubectl", "get", "--raw", "/readyz", f"--server={SERVER}"),
                *(
                    f"--client-certificate={self._administrator.certificate}",
                    f"--client-key={self._administrator.key}",
                ),
                "--insecure-skip-tls-verify",
            ],
            check=False,
        )
        return answer.stdout == "ok"


def client_certificate(pair: Pair) -> dict[str, str]:
    """The user section of a kubeconfig for a client certificate."""
    return {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}


def _request(entry: dict[str, Any]) -> ApiRequest:
    about = entry.get("objectRef", {})
    return ApiRequest(
        user=entry["user"]["username"],
        verb=entry["verb"],
        resource="/".join(filter(None, (about.get("resource"), about.get("subresource")))),
        namespace=about.get("namespace", ""),
        at=entry["requestReceivedTimestamp"],
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
