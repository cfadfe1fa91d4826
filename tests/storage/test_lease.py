import json
import subprocess
import sys
import time
from uuid import uuid4

import pytest

from stylize.errors import UsageError
from stylize.files import locate
from stylize.storage import lease
from stylize.storage.connect import open_store
from stylize.storage.lease import KEY, Lease

pytest.importorskip("fsspec", reason="needs fsspec")


@pytest.fixture
def store():
    return open_store(locate(f"memory://{uuid4()}/out"))


@pytest.fixture
def hurried(monkeypatch):
    for name, seconds in (("BEAT", 0.02), ("TERM", 0.5), ("MARGIN", 0.1), ("LOOK", 0.01)):
        monkeypatch.setattr(lease, name, seconds)


def hold(store, **holder):
    """As another run does."""
    store.put(KEY, json.dumps(holder).encode())


def test_a_second_run_is_refused_until_the_first_ends(store):
    with Lease(store):
        with pytest.raises(UsageError, match="another run of stylize"), Lease(store):
            pass
        assert store.stat(KEY) is not None
    assert store.stat(KEY) is None
    with Lease(store):
        pass


def test_a_killed_run_of_this_machine_holds_nothing(store):
    code = "import json; from stylize.storage.lease import _me; print(json.dumps(_me()))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    hold(store, **json.loads(dead))
    started = time.monotonic()
    with Lease(store) as held:
        held.check()
    assert time.monotonic() - started < lease.TERM


@pytest.mark.usefixtures("hurried")
def test_a_killed_run_of_another_machine_holds_its_lease_for_a_term(store):
    hold(store, machine="elsewhere")
    started = time.monotonic()
    with Lease(store) as held:
        assert time.monotonic() - started >= lease.TERM
        held.check()


@pytest.mark.usefixtures("hurried")
def test_a_lease_that_is_renewed_elsewhere_is_held(store, monkeypatch):
    with Lease(store):
        monkeypatch.setattr(lease, "_machine", lambda: "elsewhere")
        with pytest.raises(UsageError, match="another run of stylize"), Lease(store):
            pass


@pytest.mark.usefixtures("hurried")
def test_whoever_lost_the_lease_may_not_write_and_leaves_it(store):
    with Lease(store) as held:
        held.check()
        hold(store, machine="elsewhere")
        held._thread.join(10)
        with pytest.raises(OSError, match="another run has taken over"):
            held.check()
    assert json.loads(store.get(KEY)) == {"machine": "elsewhere"}


@pytest.mark.usefixtures("hurried")
def test_a_lease_that_cannot_be_renewed_ends_in_time(store, monkeypatch):
    with Lease(store) as held:
        monkeypatch.setattr(store, "put", lambda *_: (_ for _ in ()).throw(OSError("away")))
        time.sleep(lease.TERM)
        with pytest.raises(OSError, match="cannot be reached"):
            held.check()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"machine": 1, "pid": "x"}'])
@pytest.mark.usefixtures("hurried")
def test_a_strange_lease_ends_as_any_other(store, content):
    store.put(KEY, content)
    with Lease(store) as held:
        held.check()
