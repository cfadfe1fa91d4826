"""An S3 server for tests, in a process of its own (`bench/s3_server.py`)."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import ROOT

BUCKET = "bucket"
KEY, SECRET = "AKIATEST", "se/cret+word"  # moto takes any


class Server:
    def __init__(self, address: str) -> None:
        self.address = address
        client = {"endpoint_url": address}
        from s3fs import S3FileSystem

        self.fs = S3FileSystem(
            key=KEY,
            secret=SECRET,
            client_kwargs=client,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self.fs.call_s3("create_bucket", Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that uses the server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def put(self, key: str, content: bytes) -> None:
        self.fs.pipe_file(f"{BUCKET}/{key}", content)

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """All objects below a prefix, without what stylize keeps for itself."""
        names = self.fs.find(f"{BUCKET}/{prefix}")
        keys = [name.removeprefix(f"{BUCKET}/") for name in names]
        return {key: self.fs.cat_file(f"{BUCKET}/{key}") for key in keys if "/.stylize/" not in key}

    def rules(self, *rules: dict[str, Any], latency: float = 0.0) -> None:
        body = json.dumps({"rules": rules, "latency": latency}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/-/rules", body, headers)  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310

    def log(self) -> list[tuple[str, str, int]]:
        with urllib.request.urlopen(f"{self.address}/-/log") as answer:  # noqa: S310
            return [(method, path, status) for method, path, status in json.load(answer)]


@contextmanager
def serve() -> Iterator[Server]:
    """A server with one bucket; skips the test without the packages."""
    for package in ("s3fs", "moto.server"):
        pytest.importorskip(package, reason=f"needs {package.partition('.')[0]}")
    command = [sys.executable, ROOT / "bench" / "s3_server.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process.stdout.readline().strip())
        finally:
            process.kill()
