"""The OpenAPI document is valid, and says what the server does."""

import re

from openapi_spec_validator import OpenAPIV31SpecValidator

from stylize.page.options import OPTIONS


def test_the_document_is_valid(client):
    OpenAPIV31SpecValidator(client.get("/openapi.json").json()).validate()


def test_every_described_operation_is_there_and_no_other_method(client):
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        described = {name.upper() for name in operations}
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, re.sub(r"{\w+}", "x", path))
            assert (answer.status_code == 405) == (method not in described), (method, path)


def test_answers_have_the_status_and_the_properties_that_are_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    (media,) = paths["/styles"]["get"]["responses"]["200"]["content"]
    answer = client.get("/styles")
    assert answer.headers["content-type"] == media
    refused = paths["/stylize"]["post"]["responses"]["404"]["content"]["application/json"]
    answer = client.post("/stylize?style=none&name=a.png", content=b"x")
    assert answer.status_code == 404
    assert answer.json().keys() == refused["schema"]["properties"].keys()


def test_all_options_are_described(client):
    operation = client.get("/openapi.json").json()["paths"]["/stylize"]["post"]
    names = [each["name"] for each in operation["parameters"]]
    assert names == ["style", "name", *OPTIONS]
    schema = {each["name"]: each["schema"] for each in operation["parameters"]}
    assert schema["strength"] == {"type": "number", "minimum": 0, "maximum": 1, "default": 1.0}
