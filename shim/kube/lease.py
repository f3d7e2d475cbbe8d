"""A lease: held by one, as long as that one renews it.

Whether another holder still renews it is judged by one's own clock alone, as other clocks may be wrong.
Source: Kubernetes documentation, "Leases"; client-go `tools/leaderelection`.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from shim.kube.client import Client
from shim.kube.errors import KubeError
from shim.kube.objects import LEASES, MANAGED_BY

ROLE_LABEL = "cnm-cni.io/lease"
"""What the lease is for."""


class Lease:
    """The lease `name` in `namespace`, wanted by `holder`, for `duration` seconds each time."""

    def __init__(
        self, client: Client, namespace: str, name: str, *, role: str, holder: str, duration: float
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._labels = MANAGED_BY | {ROLE_LABEL: role}
        self._holder = holder
        self._duration = duration
        self._seen: dict[str, Any] | None = None
        """The lease as the server had it last."""
        self._seen_since = 0.0

    @property
    def other_holder(self) -> str:
        """Who held it when it was looked at last, if that was another."""
        holder = self._seen["spec"].get("holderIdentity", "") if self._seen else ""
        return holder if holder != self._holder else ""

    async def renew(self) -> bool:
        """Take or keep the lease; whether that succeeded. Raises `KubeError` and `AccessError`."""
        for last in (False, True):
            if self._seen is None or self.other_holder:
                await self._look()
            if self._seen and self.other_holder and not self._is_expired(self._seen):
                break
            try:
                self._see(await self._write())
            except KubeError as error:
                if last or error.code not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                    raise
                self._seen = None  # somebody was quicker, or has deleted it: look again
            else:
                return True
        return False

    async def _look(self) -> None:
        lease = await self._client.get(LEASES, self._namespace, self._name)
        if lease is None:
            self._seen = None
        elif self._seen is None or _version(lease) != _version(self._seen):
            self._see(lease)

    async def _write(self) -> dict[str, Any]:
        if self._seen is None:
            return await self._client.create(LEASES, self._lease({}))
        return await self._client.replace(LEASES, self._lease(self._seen))

    def _see(self, lease: dict[str, Any]) -> None:
        self._seen = lease
        self._seen_since = time.monotonic()

    def _is_expired(self, lease: Mapping[str, Any]) -> bool:
        duration: float = lease["spec"].get("leaseDurationSeconds", self._duration)
        return time.monotonic() - self._seen_since > duration

    def _lease(self, old: Mapping[str, Any]) -> dict[str, Any]:
        meta = old.get("metadata") or {
            "namespace": self._namespace,
            "name": self._name,
            "labels": self._labels,
        }
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": meta,
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": max(1, round(self._duration)),
                "renewTime": now,
            },
        }


def _version(lease: Mapping[str, Any]) -> str:
    version: str = lease["metadata"]["resourceVersion"]
    return version
