"""One server for all tests that do not need another."""

from io import BytesIO

import pytest
from conftest import draw_picture
from page_server import server


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    with server(tmp_path_factory.mktemp("server") / "here") as running:
        yield running


@pytest.fixture
def client(page):
    with page.client() as client:
        yield client


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A small PNG."""
    content = BytesIO()
    draw_picture(7).save(content, "PNG")
    return content.getvalue()
