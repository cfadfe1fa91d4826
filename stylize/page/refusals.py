"""Errors as answers: a status, and one line with a hint as JSON."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from stylize.errors import ImageError, StyleFileError, StylizeError

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TIMED_OUT = 400, 401, 403, 404, 408
TOO_LARGE, UNSUPPORTED, UNPROCESSABLE, BUSY, FULL = 413, 415, 422, 429, 507


class RefusalError(StylizeError):
    """A request that is refused with a status of HTTP, and perhaps `headers`."""

    def __init__(
        self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = headers


def answer(error: StylizeError) -> JSONResponse:
    """The message and the hint that the command line would print."""
    match error:
        case RefusalError():
            status = error.status
        case StyleFileError():
            status = NOT_FOUND
        case ImageError():
            status = UNPROCESSABLE
        case _:
            status = BAD_REQUEST
    headers = error.headers if isinstance(error, RefusalError) else None
    return JSONResponse({"error": str(error), "hint": error.hint}, status, headers)
