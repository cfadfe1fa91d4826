"""An S3 server on loopback, for tests and benchmarks: moto's, with latency and failures on demand.

    python bench/s3_server.py [--latency SECONDS]

Prints its address and serves until it is ended. Beside S3, it answers

    POST /-/rules    {"latency": 0.05, "rules": [{"method": "PUT", "key": "a.png", "status": 503,
                     "code": "SlowDown", "times": 2}]}: requests whose method and path match fail so
                     many times (without `times`: always)
    GET /-/log       all requests so far: [method, path with query, status]
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

CONTROL = "/-/"
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>as asked for</Message></Error>"


class Service:
    """A WSGI application around moto's."""

    def __init__(self, latency: float) -> None:
        self.app = create_backend_app("s3")
        self.latency = latency
        self.rules: list[dict[str, Any]] = []
        self.log: list[tuple[str, str, int]] = []
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith(CONTROL):
            return self._control(request)(environ, start)
        time.sleep(self.latency)
        path = request.full_path.rstrip("?")
        failure = self._failure(request)
        if failure is not None:
            request.get_data()  # a client that is still sending would see a broken connection
            self.log.append((request.method, path, failure["status"]))
            answer = Response(ERROR.format(failure["code"]), failure["status"])
            return answer(environ, start)

        def started(status: str, *others: Any) -> Any:
            self.log.append((request.method, path, int(status.split(maxsplit=1)[0])))
            return start(status, *others)

        return self.app(environ, started)

    def _control(self, request: Request) -> Response:
        if request.method == "POST":
            wanted = request.get_json()
            self.latency = wanted.get("latency", self.latency)
            self.rules = wanted.get("rules", [])
        return Response(json.dumps(self.log), mimetype="application/json")

    def _failure(self, request: Request) -> dict[str, Any] | None:
        with self._lock:
            for rule in self.rules:
                matches = request.method == rule["method"] and rule["key"] in request.path
                if matches and rule.get("times", 1) > 0:
                    if "times" in rule:
                        rule["times"] -= 1
                    return rule
        return None


class Quiet(WSGIRequestHandler):
    """HTTP/1.1, as stores speak it: connections stay open. Logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.0)
    service = Service(parser.parse_args().latency)
    server = make_server("127.0.0.1", 0, service, threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
