"""S3 and what speaks its protocol: listings by the page, ETags, conditional PUTs."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from s3fs import S3FileSystem

from stylize.files import Url
from stylize.storage.store import ANY, Store, version_of

CONNECTIONS = 100
PAGE = 1000  # keys in one request that lists or deletes
REASONS = {
    "NoSuchBucket": (errno.ENOENT, "there is no such bucket"),
    "NoSuchKey": (errno.ENOENT, "not found"),
    "404": (errno.ENOENT, "not found"),
    "AccessDenied": (errno.EACCES, "access denied"),
    "403": (errno.EACCES, "access denied"),
    "InvalidAccessKeyId": (errno.EACCES, "access denied: the store does not know this key"),
    "SignatureDoesNotMatch": (errno.EACCES, "access denied: the secret is wrong"),
    "ExpiredToken": (errno.EACCES, "access denied: the credentials have expired"),
    "SlowDown": (errno.EBUSY, "the store is overloaded and asked to slow down"),
    "ServiceUnavailable": (errno.EBUSY, "the store is overloaded"),
    "503": (errno.EBUSY, "the store is overloaded"),
    "PreconditionFailed": (errno.EEXIST, "another object is there"),
    "ConditionalRequestConflict": (errno.EEXIST, "another object is being written there"),
    "412": (errno.EEXIST, "another object is there"),
    "NotImplemented": (errno.ENOSYS, "the store cannot do that"),
    "501": (errno.ENOSYS, "the store cannot do that"),
}
FAILURES = {  # of botocore, before or without an answer of the store
    "NoCredentialsError": (errno.EACCES, "no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID"),
    "EndpointConnectionError": (errno.ECONNREFUSED, "the store cannot be reached"),
    "ConnectTimeoutError": (errno.ETIMEDOUT, "the store does not answer"),
    "ReadTimeoutError": (errno.ETIMEDOUT, "the store does not answer"),
}


def connect(login: tuple[str, str] | None) -> S3FileSystem:
    """A client; without `login`, credentials come from the environment, as for all AWS tools.

    It tries again by itself, with back-off, where the store is overloaded or does not answer.
    """
    key, secret = login or (None, None)
    options = {"max_pool_connections": CONNECTIONS}
    # Listings are never cached: states must be those of now.
    return S3FileSystem(key=key, secret=secret, config_kwargs=options, use_listings_cache=False)


class S3Store(Store):
    """A prefix of a bucket."""

    def __init__(self, url: Url, filesystem: S3FileSystem) -> None:
        super().__init__(url, filesystem)
        self.bucket, _, self.prefix = self.root.partition("/")
        self._conditional = True

    def pages(self) -> Iterator[list[Url]]:
        """By the thousand, in the order of their keys."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        options: dict[str, Any] = {"Bucket": self.bucket, "Prefix": prefix, "MaxKeys": PAGE}
        while True:
            page = self._call("list_objects_v2", **options)
            yield [
                Url(
                    f"{self.url.scheme}://{self.bucket}/{item['Key']}",
                    self.url.login,
                    version_of(item["ETag"], item["Size"]),
                    item["Size"],
                )
                for item in page.get("Contents", [])
            ]
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def stat(self, key: str = "") -> Url | None:
        try:
            head = self._call("head_object", Bucket=self.bucket, Key=self._key(key))
        except FileNotFoundError:
            return None
        size = head["ContentLength"]
        url = self.url / key if key else self.url
        return Url(url, self.url.login, version_of(head["ETag"], size), size)

    def get(self, key: str = "") -> bytes:
        try:
            # One GET: parts of their own would need another request for the size, and could be of
            # different versions.
            content = self.fs.cat_file(f"{self.bucket}/{self._key(key)}", max_concurrency=1)
        except Exception as error:  # noqa: BLE001 botocore and aiohttp raise all kinds
            raise self.explained(error) from None
        return bytes(content)

    def put(self, key: str, content: bytes, replaces: str | None = ANY) -> str:
        """One PUT, which the store refuses itself if the object is not the one to replace."""
        options: dict[str, Any] = {"Bucket": self.bucket, "Key": self._key(key), "Body": content}
        if replaces != ANY and self._conditional:
            options |= _condition(replaces)
        elif replaces != ANY:
            there = self.stat(key)
            if (there and there.version) != replaces:
                raise FileExistsError(errno.EEXIST, REASONS["PreconditionFailed"][1])
        try:
            answer = self._call("put_object", **options)
        except OSError as error:
            if error.errno != errno.ENOSYS or not self._conditional or replaces == ANY:
                raise
            self._conditional = False  # an older store: look first, then write
            return self.put(key, content, replaces)
        return version_of(answer["ETag"], len(content))

    def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), PAGE):
            objects = [{"Key": self._key(key)} for key in keys[first : first + PAGE]]
            delete = {"Objects": objects, "Quiet": True}
            self._call("delete_objects", Bucket=self.bucket, Delete=delete)

    def predicted(self, content: bytes) -> str:
        """The ETag of one PUT is the MD5, unless the bucket encrypts with keys of its own."""
        return version_of(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))

    def explained(self, error: Exception) -> OSError:
        cause = error.__cause__ or error
        response = getattr(cause, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        known = REASONS.get(code) or FAILURES.get(type(cause).__name__)
        if known is None:
            return super().explained(error)
        return OSError(*known)  # Python chooses FileNotFoundError, PermissionError ...

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/") if key else self.prefix

    def _call(self, method: str, **options: Any) -> Any:
        try:
            return self.fs.call_s3(method, **options)
        except Exception as error:  # noqa: BLE001 botocore raises all kinds
            raise self.explained(error) from None


def _condition(replaces: str | None) -> dict[str, str]:
    if replaces is None:
        return {"IfNoneMatch": ANY}
    return {"IfMatch": replaces.rpartition(":")[0]}
