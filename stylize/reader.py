"""Tasks -> decoded pictures, ahead of the network as far as there is room for them."""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import PhotoFailed
from stylize.files import digest, open_file
from stylize.formats import fit
from stylize.images import Picture, measure, read_mask, read_picture
from stylize.masks import product_mask
from stylize.memory import DECODING, PICTURE, Budget, Need, Room, Way, affordable
from stylize.metadata import Metadata
from stylize.style import IN_ONE_PASS, Style
from stylize.todo import Task

NO_MASK = "no mask, no transparency and no flat background: stylized as a whole"
APPROXIMATE = "approximate: its statistics are those of a thumbnail"


@dataclass(frozen=True)
class Work:
    """A decoded picture on its way; `size` and `sha256` are those of its file.

    `need` is what a frame takes in the network, `taken` what is reserved for the whole picture.
    """

    task: Task
    picture: Picture
    size: int
    sha256: str
    mask_sha256: str | None
    seconds: float
    need: Need
    taken: float


class Reader:
    """Decodes pictures in threads; each only when all that it takes fits into `room`.

    Whoever is through with a `Work` gives back to `room` what it has `taken`.
    """

    def __init__(self, style: Style, config: ApplyConfig, budget: Budget, photos: int) -> None:
        """`photos` are so many as can be in the network at the same time."""
        self.style = style
        self.config = config
        self.budget = budget
        self.photos = photos
        self.room = Room(budget.host)

    def batches(self, tasks: Sequence[Task]) -> Iterator[list[Work] | PhotoFailed]:
        """Neighbours of one size together, in the order of `tasks`."""
        batch: list[Work] = []
        reading: deque[Future[Work | PhotoFailed]] = deque()
        ahead = self.config.batch_size + 1
        with ThreadPoolExecutor(ahead, "read") as pool:
            try:
                for task in tasks:
                    try:
                        need, taken = self._reckon(task)
                    except ImageError as error:
                        reading.append(pool.submit(PhotoFailed, task.job.source, str(error)))
                        continue
                    # What waits here may hold the room that is waited for: on with it.
                    while reading and (len(reading) >= ahead or not self.room.has(taken)):
                        yield from self._join(batch, reading.popleft().result())
                    if batch and not self.room.has(taken):
                        yield batch.copy()
                        batch.clear()
                    self.room.take(taken)
                    reading.append(pool.submit(self._read, task, need, taken))
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
        """Add `work` to `batch`; what cannot go together is handed on before."""
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

    def _reckon(self, task: Task) -> tuple[Need, float]:
        """What a frame takes in the network, and what the whole picture takes on the host.

        Raises:
            ImageError: more than there is.
        """
        try:
            extent = measure(task.job.source, self.config.size)
        except ImageError:
            return IN_ONE_PASS, 0  # reading it will say what is wrong
        if extent.pixels > self.config.max_megapixels * 1e6:
            return IN_ONE_PASS, 0
        ways = self.style.ways(extent.size, self.config.look)
        need = affordable(ways, self.budget, self.photos)
        at_once = min(extent.frames, self.config.batch_size if need.way is Way.ONE_PASS else 1)
        others = extent.frames - at_once
        stylizing = at_once * need.host + others * PICTURE * extent.size[0] * extent.size[1]
        return need, max(DECODING * extent.decoded, stylizing)

    def _read(self, task: Task, need: Need, taken: float) -> Work | PhotoFailed:
        try:
            return self._decode(task, need, taken)
        except ImageError as error:
            reason = error.about(task.job.source)
        except OSError as error:
            reason = error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 whatever it is, other photos go on
            reason = f"cannot be read ({first_line(error)})"
        self.room.give_back(taken)
        return PhotoFailed(task.job.source, reason)

    def _decode(self, task: Task, need: Need, taken: float) -> Work:
        started = time.monotonic()
        source = task.job.source
        most = self.config.max_megapixels * 1e6
        with open_file(source) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            file.seek(0)
            gps = not self.config.strip_gps
            picture = read_picture(source, file, most, self.config.size, gps=gps)
        if self.config.strip:
            picture = replace(picture, metadata=Metadata())
        if self.config.look.keep_background:
            picture = _with_masks(picture, task, most)
        if need.way is Way.APPROXIMATE:
            picture = replace(picture, warnings=(*picture.warnings, APPROXIMATE))
        picture = fit(picture, task.job.target.suffix)
        mask_sha256 = digest(task.mask) if task.mask else None
        seconds = time.monotonic() - started
        return Work(task, picture, size, sha256, mask_sha256, seconds, need, taken)


def _with_masks(picture: Picture, task: Task, max_pixels: float) -> Picture:
    """Every frame with the mask of its product: from the task's file, or found in the frame."""
    sizes = {frame.size for frame in picture.frames}
    given = {size: read_mask(task.mask, size, max_pixels) for size in sizes} if task.mask else {}
    found = [product_mask(replace(f, mask=given.get(f.size))) for f in picture.frames]
    frames = tuple(replace(f, mask=m) for f, m in zip(picture.frames, found, strict=True))
    warnings = picture.warnings + ((NO_MASK,) if None in found else ())
    return replace(picture, frames=frames, warnings=warnings)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
