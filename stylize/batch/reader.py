"""Tasks -> decoded pictures, ahead of the network as far as memory allows."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stylize.batch.tasks import Task
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoFailed
from stylize.files import FORMATS, fingerprint, open_file
from stylize.network.memory import PICTURE, Budget, Need, Way, affordable
from stylize.photos.decoder import check_pixels, measure, read_mask, read_picture
from stylize.photos.encoder import fit
from stylize.photos.masks import cut_out, product_mask
from stylize.photos.metadata import Metadata
from stylize.photos.photo import Picture
from stylize.style import Style

NO_MASK = "no mask, no transparency and no flat background: stylized as a whole"
MASKING = 12  # bytes a pixel, beside the picture, while its background is looked for
ENCODING_AVIF = 60  # bytes a pixel
APPROXIMATE = "approximate: its statistics are those of a thumbnail"


@dataclass(frozen=True)
class Origin:
    """What an output is made from; `size` and `sha256` are those of the file, `mask` is the
    fingerprint of its mask."""

    task: Task
    size: int
    sha256: str
    mask: str | None


@dataclass(frozen=True)
class Work(Origin):
    """A decoded picture on its way to its output.

    `need` is the way of its frames through the network, and the memory reserved for the picture.
    """

    picture: Picture
    seconds: float
    need: Need


class Reader:
    """Decodes pictures in threads, each once all the memory it will need can be reserved.

    The caller releases `work.need.host` bytes of `memory` when a picture is finished.
    """

    def __init__(
        self, style: Style, config: ApplyConfig, budget: Budget, photos: int, ahead: int = 1
    ) -> None:
        """`photos` is how many can be in the network at the same time, `ahead` how many are decoded
        beside a batch."""
        self.style = style
        self.config = config
        self.budget = budget
        self.photos = photos
        self.ahead = ahead
        self.memory = Reservations(budget.host)

    def batches(self, tasks: Iterable[Task]) -> Iterator[list[Work] | PhotoFailed]:
        """Batches of neighbours of one size, in the order of `tasks`."""
        batch: list[Work] = []
        reading: deque[Future[Work | PhotoFailed]] = deque()
        ahead = self.config.batch_size + self.ahead
        with ThreadPoolExecutor(ahead, "read") as pool:
            try:
                for task in tasks:
                    need = self._try_to_estimate(task)
                    taken = need.host if isinstance(need, Need) else 0
                    # What waits here may hold the memory that this task waits for.
                    while reading and (len(reading) >= ahead or not self.memory.fits(taken)):
                        yield from self._join(batch, reading.popleft().result())
                    if batch and not self.memory.fits(taken):
                        yield batch.copy()
                        batch.clear()
                    self.memory.reserve(taken)
                    reading.append(pool.submit(self._read, task, need))
                while reading:
                    yield from self._join(batch, reading.popleft().result())
                if batch:
                    yield batch
            finally:
                for future in reading:
                    future.cancel()

    def _join(
        self, batch: list[Work], work: Work | PhotoFailed
    ) -> Iterator[list[Work] | PhotoFailed]:
        """Add `work` to `batch`; first yield a batch that it does not fit into."""
        if batch and not (isinstance(work, Work) and self._fits(work, batch)):
            yield batch.copy()
            batch.clear()
        if isinstance(work, PhotoFailed):
            yield work
        else:
            batch.append(work)

    def _fits(self, work: Work, batch: Sequence[Work]) -> bool:
        frames = [frame for member in (*batch, work) for frame in member.picture.frames]
        return len(frames) <= self.config.batch_size and len({f.size for f in frames}) == 1

    def _try_to_estimate(self, task: Task) -> Need | PhotoFailed:
        try:
            return self._estimate(task)
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            return failed(task, error)

    def _estimate(self, task: Task) -> Need:
        """The way of the frames through the network, and the memory that the picture needs.

        Raises:
            ImageError: not a picture, or it needs more memory than there is.
            OSError: it cannot be opened.
        """
        source = task.job.source
        extent = measure(source, self.config.size, task.content(source))
        check_pixels(extent.pixels, self.config.max_megapixels * 1e6)
        pixels = extent.size[0] * extent.size[1]
        aside = extent.decoding
        if self.config.look.masked:
            aside += MASKING * pixels
        if task.mask is not None:
            aside += measure(task.mask, file=task.content(task.mask)).decoding
        if FORMATS[task.job.target.suffix.lower()] in ("AVIF", "HEIF"):
            aside = max(aside, ENCODING_AVIF * pixels)
        aside += sum(
            len(content) for content in task.contents.values() if isinstance(content, bytes)
        )

        def whole(frame: Need) -> Need:
            batch = self.config.batch_size if frame.way is Way.ONE_PASS else 1
            at_once = min(extent.frames, batch)
            others = (extent.frames - at_once) * PICTURE * pixels
            host = max(aside, at_once * frame.host) + others
            return Need(frame.way, batch * frame.device, host)

        ways = self.style.ways(extent.size, self.config.look)
        return affordable([whole(way) for way in ways], self.budget, self.photos)

    def _read(self, task: Task, need: Need | PhotoFailed) -> Work | PhotoFailed:
        if isinstance(need, PhotoFailed):
            return need
        try:
            return self._decode(task, need)
        except Exception as error:  # noqa: BLE001 one photo never stops the others
            self.memory.release(need.host)
            return failed(task, error)

    def _decode(self, task: Task, need: Need) -> Work:
        started = time.monotonic()
        source = task.job.source
        most = self.config.max_megapixels * 1e6
        with task.content(source) or open_file(Path(source)) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            file.seek(0)
            gps = not self.config.strip_gps
            picture = read_picture(source, file, most, self.config.size, gps=gps)
        if self.config.strip:
            picture = replace(picture, metadata=Metadata())
        if self.config.look.masked:
            picture = _with_masks(
                picture, task, most, cut=self.config.look.background == "transparent"
            )
        if need.way is Way.APPROXIMATE:
            picture = replace(picture, warnings=(*picture.warnings, APPROXIMATE))
        picture = fit(picture, task.job.target.suffix)
        mask = fingerprint(task.mask) if task.mask else None
        seconds = time.monotonic() - started
        return Work(replace(task, contents={}), size, sha256, mask, picture, seconds, need)


def _with_masks(picture: Picture, task: Task, max_pixels: float, *, cut: bool) -> Picture:
    """Every frame with its product mask, from the task's file or found in the frame; with `cut`,
    transparent outside of it."""
    sizes = {frame.size for frame in picture.frames}
    given = {}
    if task.mask:
        for size in sizes:
            given[size] = read_mask(task.mask, size, max_pixels, task.content(task.mask))
    found = [product_mask(replace(f, mask=given.get(f.size))) for f in picture.frames]
    frames = tuple(replace(f, mask=m) for f, m in zip(picture.frames, found, strict=True))
    frames = tuple(cut_out(frame) for frame in frames) if cut else frames
    warnings = picture.warnings + ((NO_MASK,) if None in found else ())
    return replace(picture, frames=frames, warnings=warnings)


def failed(task: Task, error: Exception) -> PhotoFailed:
    """The event for a picture that cannot be read."""
    source = task.job.source
    if isinstance(error, ImageError):
        return PhotoFailed(source, error.about(source))
    if isinstance(error, OSError):
        return PhotoFailed(source, error.strerror or str(error))
    return PhotoFailed(source, f"cannot be read ({first_line(error)})")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class Reservations:
    """A number of bytes that pictures share. A single picture may always have what it needs."""

    def __init__(self, size: float) -> None:
        self._size = size
        self._reserved = 0
        self._changed = threading.Condition()

    def fits(self, size: int) -> bool:
        with self._changed:
            return self._fits(size)

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        self.reserve(size)
        try:
            yield
        finally:
            self.release(size)

    def reserve(self, size: int) -> None:
        """Waits until other pictures have released enough."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(size))
            self._reserved += size

    def release(self, size: int) -> None:
        with self._changed:
            self._reserved -= size
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._reserved == 0 or self._reserved + size <= self._size
