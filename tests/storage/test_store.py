import errno
import sys
from uuid import uuid4

import pytest
from object_store import BUCKET

from stylize.errors import UsageError
from stylize.files import locate
from stylize.storage.connect import open_store, read

pytest.importorskip("fsspec", reason="needs fsspec")


@pytest.fixture(params=["s3", "memory"])
def store(request):
    if request.param == "s3":
        request.getfixturevalue("s3")
    return open_store(locate(f"{request.param}://{BUCKET}/{uuid4()}"))


def listed(store):
    return {url: (url.version, url.size) for page in store.pages() for url in page}


def test_what_is_put_can_be_read_listed_and_deleted(store):
    assert listed(store) == {}
    version = store.put("a/b c+%2F?.png", b"abc")
    url = store.url / "a/b c+%2F?.png"
    assert read(url) == store.get("a/b c+%2F?.png") == b"abc"
    assert listed(store) == {url: (version, 3)}
    found = store.stat("a/b c+%2F?.png")
    assert (found, found.version, found.size) == (url, version, 3)
    assert store.stat("a") is None
    store.delete(["a/b c+%2F?.png"])
    assert store.stat("a/b c+%2F?.png") is None
    with pytest.raises(FileNotFoundError, match="not found"):
        store.get("a/b c+%2F?.png")


def test_a_put_replaces_only_what_it_may(store):
    first = store.put("a", b"1", None)
    with pytest.raises(FileExistsError):
        store.put("a", b"2", None)
    second = store.put("a", b"22", first)
    assert second != first
    with pytest.raises(FileExistsError):
        store.put("a", b"333", first)
    assert store.get("a") == b"22"
    store.put("a", b"any")
    assert store.get("a") == b"any"


@pytest.mark.usefixtures("s3")
def test_a_listing_has_every_page(monkeypatch):
    monkeypatch.setattr("stylize.storage.s3.PAGE", 2)
    store = open_store(locate(f"s3://{BUCKET}/{uuid4()}"))
    for name in ("b", "a-", "a", "c", "a/x"):
        store.put(name, b"x")
    pages = list(store.pages())
    assert [len(page) for page in pages] == [2, 2, 1]
    keys = [each.removeprefix(f"{store.url}/") for page in pages for each in page]
    assert keys == ["a", "a-", "a/x", "b", "c"]
    store.delete(keys)  # in pages, too
    assert listed(store) == {}


@pytest.mark.usefixtures("s3")
def test_the_version_of_a_put_is_known_before():
    store = open_store(locate(f"s3://{BUCKET}/{uuid4()}"))
    assert store.put("a", b"content") == store.predicted(b"content")


def test_a_store_without_conditions_is_looked_at_first(s3):
    store = open_store(locate(f"s3://{BUCKET}/{uuid4()}"))
    rule = {"method": "PUT", "key": "a", "status": 501, "code": "NotImplemented", "times": 1}
    s3.rules(rule)
    version = store.put("a", b"1", None)
    with pytest.raises(FileExistsError):
        store.put("a", b"2", None)
    store.put("a", b"3", version)
    puts = [path for method, path, _ in s3.log() if method == "PUT" and store.prefix in path]
    assert len(puts) == 3  # the refused one, and two that were allowed
    assert store.get("a") == b"3"


@pytest.mark.parametrize(
    ("status", "code", "number", "words"),
    [
        (403, "AccessDenied", errno.EACCES, "access denied"),
        (403, "SignatureDoesNotMatch", errno.EACCES, "the secret is wrong"),
        (503, "SlowDown", errno.EBUSY, "asked to slow down"),
        (404, "NoSuchBucket", errno.ENOENT, "no such bucket"),
        (400, "InvalidRequest", errno.EINVAL, "as asked for"),
    ],
)
def test_failures_are_named(s3, status, code, number, words):
    store = open_store(locate(f"s3://{BUCKET}/{uuid4()}"))
    s3.rules({"method": "PUT", "key": store.prefix, "status": status, "code": code})
    with pytest.raises(OSError, match=words) as raised:
        store.put("a", b"1")
    assert raised.value.errno == number


def test_an_overloaded_store_is_asked_again(s3):
    store = open_store(locate(f"s3://{BUCKET}/{uuid4()}"))
    rule = {"method": "PUT", "key": store.prefix, "status": 503, "code": "SlowDown", "times": 2}
    s3.rules(rule)
    store.put("a", b"1")
    assert store.get("a") == b"1"
    statuses = [status for _, path, status in s3.log() if f"{store.prefix}/a" in path]
    assert statuses == [503, 503, 200, 200]


def test_urls_that_cannot_be_used():
    with pytest.raises(UsageError, match="knows no nowhere://"):
        open_store(locate("nowhere://host/in"))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules, "stylize.storage.s3", raising=False)
    with pytest.raises(UsageError, match="not installed") as missing:
        open_store(locate("s3://bucket/in"))
    assert missing.value.hint == 'pip install "stylize[cloud]"'
