"""URL -> store: which implementation, with which credentials."""

from stylize.errors import UsageError, install
from stylize.files import Url
from stylize.storage.store import Store, explained

IN_EXTRA = ("s3", "s3a", "gs", "gcs")


def open_store(url: Url) -> Store:
    """Raises UsageError: a package is missing, or the URL cannot be used."""
    try:
        import fsspec

        if url.scheme in ("s3", "s3a"):
            from stylize.storage.s3 import S3Store, connect

            return S3Store(url, connect(url.login))
        if url.scheme not in fsspec.available_protocols():
            raise UsageError(f"{url}: fsspec knows no {url.scheme}://", "use s3:// or gs://")
        user, password = url.login or (None, None)
        options = {"username": user, "password": password} if url.login else {}
        return Store(url, fsspec.url_to_fs(str(url), **options)[0])
    except ImportError as error:
        ours = url.scheme in IN_EXTRA or error.name == "fsspec"
        hint = install("cloud") if ours else str(error)
        raise UsageError(f"{url.scheme}:// needs a package that is not installed", hint) from error
    except (ValueError, TypeError, OSError) as error:
        reason = explained(error, url.login).strerror
        raise UsageError(f"{url} cannot be used ({reason})", "check the URL") from None


def read(url: Url) -> bytes:
    """The object at `url`; raises OSError."""
    return open_store(url).get()
