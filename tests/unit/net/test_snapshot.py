"""What plugins made of a namespace, and what became of it, as the journal keeps them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shim.net.replay import Replayed
from shim.net.snapshot import Link, Route, Snapshot


@given(st.from_type(Snapshot))
def test_every_snapshot_survives_the_journal(snapshot: Snapshot) -> None:
    assert Snapshot.from_json(json.loads(json.dumps(snapshot.to_json()))) == snapshot


@given(st.from_type(Replayed))
def test_every_report_survives_the_journal(report: Replayed) -> None:
    assert Replayed.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_a_snapshot_of_a_journal_that_knows_only_links_and_routes_is_read() -> None:
    link = {"name": "eth0", "mac": "", "mtu": 1500, "addresses": ["10.1.0.5/16"]}
    route = {"destination": "0.0.0.0/0", "gateway": "10.1.0.1", "link": "eth0", "by_kernel": False}
    old = {"links": [link], "routes": [route]}

    snapshot = Snapshot.from_json(old)

    assert snapshot == Snapshot(
        (Link("eth0", "", 1500, ("10.1.0.5/16",)),),
        (Route("0.0.0.0/0", "10.1.0.1", "eth0", by_kernel=False),),
    )
    assert snapshot.to_json() == old, "what is as usual takes no room"


def test_what_one_report_put_back_the_next_does_not_call_carried() -> None:
    first = Replayed(carried=("link net1",), replayed=("address 10.2.0.5/16 on net1",), lost=(("a", "b"),))
    second = Replayed(carried=("address 10.2.0.5/16 on net1", "link net1"), replayed=("link eth0 mtu 1400",))

    assert first.followed_by(second) == Replayed(
        carried=("link net1",),
        replayed=("address 10.2.0.5/16 on net1", "link eth0 mtu 1400"),
        lost=(("a", "b"),),
    )
