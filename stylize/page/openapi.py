"""The operations of the API, and the OpenAPI document that describes them."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stylize import __version__
from stylize.page.options import kinds_of

Json = dict[str, Any]
JSON, PICTURE, EVENTS = "application/json", "image/*", "text/event-stream"
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
STYLE = {"style": "Name of a style, as GET /styles lists them."}
NAME = {"name": "Name of the photo, which may have folders. Its suffix says which format to keep."}
ERROR: Json = {"error": TEXT, "hint": TEXT}
REASON: Json = {"photo": TEXT, "reason": TEXT}


@dataclass(frozen=True)
class Operation:
    """One operation: what it takes, and what it answers if all goes well.

    `query` and `body` are required unless `optional` names them. `body` and `content` map a media
    type to the properties of the JSON in it (none: a file). `options` are settings in the query.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    status: int = 200
    content: Mapping[str, Json] | None = None
    query: Mapping[str, str] | None = None
    optional: Sequence[str] = ()
    body: Mapping[str, Json] | None = None
    options: Mapping[str, Field[Any]] = field(default_factory=dict)
    refusals: Sequence[int] = ()

    def route(self) -> Route:
        return Route(self.path, self.handler, methods=[self.method])

    def describe(self) -> Json:
        """As an Operation Object of OpenAPI 3.1."""
        parameters = [
            _parameter(name, "path", "From an earlier answer.", required=True)
            for name in re.findall(r"{(\w+)}", self.path)
        ]
        parameters += [
            _parameter(name, "query", text, required=name not in self.optional)
            for name, text in (self.query or {}).items()
        ]
        parameters += [_option(name, each) for name, each in self.options.items()]
        answers = {self.status: {"description": "Done.", "content": _content(self.content)}}
        for status in (401, 403, *self.refusals):
            answers[status] = {"description": "Refused.", "content": _content({JSON: ERROR})}
        found: Json = {
            "operationId": self.handler.__name__,
            "summary": self.summary,
            "parameters": parameters,
            "responses": {str(status): answers[status] for status in sorted(answers)},
        }
        if self.body:
            found["requestBody"] = {"required": True, "content": _content(self.body)}
        return found


def document(operations: Iterable[Operation]) -> Json:
    """The OpenAPI document of a server with these operations."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.describe()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stylize",
            "version": __version__,
            "description": "Photos in one style, with the engine of `stylize apply`.",
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }


def _parameter(name: str, place: str, text: str, *, required: bool) -> Json:
    found = {"name": name, "in": place, "description": text, "required": required}
    return {**found, "schema": TEXT}


def _option(name: str, each: Field[Any]) -> Json:
    rule = each.metadata
    schema: Json = {"type": TYPES[kinds_of(each)[0]]}
    names = {"least": "minimum", "most": "maximum", "above": "exclusiveMinimum"}
    schema |= {names[limit]: value for limit, value in rule["limits"].items()}
    if rule["choices"]:
        schema["enum"] = list(rule["choices"])
    if each.default is not None and each.default is not MISSING:
        schema["default"] = each.default
    text = rule["text"] or "What happens to what is not the product."
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _content(content: Mapping[str, Json] | None) -> Json:
    return {
        media: {"schema": {"type": "object", "properties": properties} if properties else {}}
        for media, properties in (content or {}).items()
    }
