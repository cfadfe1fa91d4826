"""Who may ask: checks of `Host`, `Origin` and token; the headers of every answer."""

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylize.page.refusals import FORBIDDEN, UNAUTHORIZED, RefusalError, answer

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PORT = re.compile(r":\d+$")
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
OWN = ("same-origin", "none")  # Sec-Fetch-Site of the page itself, and of an address typed in


class Guard:
    """Lets requests of those through who know the token, from the page itself or from no page.

    Another site may be open in the same browser. It can send requests here (CSRF), but the browser
    adds its `Origin`. Or it gives its own name this machine's address (DNS rebinding), but then
    `Host` has that name.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str) -> None:
        """A server on loopback knows its names; on other addresses it may have any."""
        self._app = app
        self._names = LOOPBACK if host in LOOPBACK else None
        self._cookie = f"stylize-{port}"  # cookies do not tell ports apart
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        app: ASGIApp = self._app
        try:
            self._check_site(request)
            if scope["path"] == "/" and "token" in request.query_params:
                app = self._welcome(request.query_params["token"])
            else:
                self._check_token(self._token_of(request))
        except RefusalError as error:
            app = answer(error)
        with suppress(ClientDisconnect):
            await app(scope, receive, send_with_headers)

    def _check_site(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self._names and _PORT.sub("", host).strip("[]") not in self._names:
            raise RefusalError(FORBIDDEN, "this server has another name", "open it as localhost")
        origin = request.headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        # Other sites may link to the page, but not use it.
        site = request.headers.get("sec-fetch-site", "none")
        if foreign or (site not in OWN and request.scope["path"] != "/"):
            raise RefusalError(FORBIDDEN, "a request of another site", "open the page itself")

    def _token_of(self, request: Request) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else request.cookies.get(self._cookie, "")

    def _check_token(self, token: str) -> None:
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            raise RefusalError(
                UNAUTHORIZED,
                "the token is missing or wrong",
                "open the address that `stylize page` printed, or send Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )

    def _welcome(self, token: str) -> ASGIApp:
        """From now on, the browser sends the token by itself, and no address shows it."""
        self._check_token(token)
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, token, httponly=True, samesite="strict")
        return response
