"""The content photos of a training: which can be used, and an endless stream of random crops."""

import hashlib
import itertools
import os
import random
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from stylize.errors import ImageError, TrainingError, UsageError
from stylize.files import find_photos, is_inside
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor

FLAT_SHARE = 0.2  # of the crops

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Future[Result]]:
    """Run `function` over `items` in threads, in order, at most `ahead` of the consumer."""
    workers = min(ahead, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="prefetch") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            for future in pending:
                future.cancel()


class ContentPhotos:
    """An endless, seeded stream of square crops from content photos.

    The photo, crop and flip at place i depend only on the seed, i and the list of photos, so a
    resumed training continues with the same data. Each epoch shows every photo once, in a new
    order. An unusable photo is replaced by the next one and listed in `unusable` with the reason.

    Photos are decoded once and cached at twice the crop size, up to `cache` bytes.
    """

    def __init__(
        self, photos: Sequence[Path], size: int, seed: int, cache: float, least: float = 0.5
    ) -> None:
        """`size` is that of the largest crops, in pixels. Crops show at least `least` of a photo's
        short side."""
        self.photos = photos
        self.size = size
        self.least = least
        self.seed = seed
        self.unusable: dict[Path, str] = {}
        self._cache: dict[Path, Image.Image] = {}
        self._left = cache
        self._lock = threading.Lock()

    def crop(self, place: int, size: int) -> Tensor:
        """The crop at `place` >= 0 of the stream: (3, size, size) in [0, 1].

        Raises TrainingError: none of the photos can be used.
        """
        epoch, index = divmod(place, len(self.photos))
        order = random.Random(f"{self.seed} epoch {epoch}").sample(self.photos, len(self.photos))
        for path in order[index:] + order[:index]:
            if path in self.unusable:
                continue
            try:
                photo = self._photo(path)
            except ImageError as error:
                self.unusable[path] = error.about(path)
                continue
            return self._crop(photo, size, random.Random(f"{self.seed} place {place}"))
        raise TrainingError("none of the content photos can be used")

    def _photo(self, path: Path) -> Image.Image:
        """The photo at no more than twice the size of the largest crops."""
        if path in self._cache:
            return self._cache[path]
        photo = read_photo(path).rgb
        short = min(photo.size)
        if short < self.size:
            raise ImageError(f"{path}: {too_small(short, self.size)}")
        scale = 2 * self.size / short
        if scale < 1:
            size = (round(photo.width * scale), round(photo.height * scale))
            photo = photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=3)
        taken = 4 * photo.width * photo.height  # Pillow keeps RGB in four bytes
        with self._lock:
            if taken <= self._left and path not in self._cache:
                self._left -= taken
                self._cache[path] = photo
        return photo

    def _crop(self, photo: Image.Image, size: int, choose: random.Random) -> Tensor:
        short = min(photo.size)
        # The content of a crop does not depend on its size: smaller crops are reduced.
        side = choose.randint(max(self.size, int(self.least * short)), short)
        left = choose.randint(0, photo.width - side)
        top = choose.randint(0, photo.height - side)
        box = (left, top, left + side, top + side)
        crop = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
        if choose.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if choose.random() < FLAT_SHARE:
            crop = self._on_flat_ground(crop, choose)
        return to_tensor(crop)

    def _on_flat_ground(self, crop: Image.Image, choose: random.Random) -> Image.Image:
        """The crop reduced, on plain white or grey, as in product photos.

        A network that has never seen flat areas paints dots and halos there.
        """
        size = crop.width
        grey = choose.choice((255, 255, 255, choose.randrange(256)))
        ground = Image.new("RGB", (size, size), (grey, grey, grey))
        width, height = (round(size * choose.uniform(0.3, 0.8)) for _ in range(2))
        place = (choose.randint(0, size - width), choose.randint(0, size - height))
        ground.paste(crop.resize((width, height), Image.Resampling.BICUBIC), place)
        return ground

    def batches(
        self,
        sizes: Callable[[int], int],
        batch_size: int,
        first: int,
        shares: Callable[[int], slice],
    ) -> Generator[Tensor, None, None]:
        """Endless batches (batch_size, 3, size, size) from number `first`: the share of each.

        `sizes` is the crop size of each batch, `shares` the part of it that is needed.
        """
        crops = prefetch(
            lambda job: self.crop(*job),
            (
                (place, sizes(step))
                for step in itertools.count(first)
                for place in range(step * batch_size, (step + 1) * batch_size)[shares(step)]
            ),
            ahead=2 * batch_size,
        )
        for step in itertools.count(first):
            count = len(range(batch_size)[shares(step)])
            yield torch.stack([next(crops).result() for _ in range(count)])


def too_small(short: int, size: int) -> str:
    """The reason why a photo with that short side is not used."""
    return f"smaller than the training size ({short} < {size} px)"


def usable_photos(content: Path, size: int, without: Path) -> tuple[list[Path], dict[Path, str]]:
    """The usable pictures below `content`, judged by their file headers, and reasons for the rest.

    Leaves out the folder `without`, if it lies below `content`: it holds trainings' own previews.

    Raises:
        UsageError: `content` is not a folder, or one of its folders cannot be read.
        TrainingError: none can be used.
    """
    if not content.is_dir():
        raise UsageError(f"no folder {content}", "--content takes a folder of photos")
    photos, _, shut = find_photos(content)
    if shut:
        raise UsageError(f"{shut[0].filename}: {shut[0].strerror}", "check its permissions")
    if not is_inside(content, without):
        photos = [path for path in photos if not is_inside(path, without)]
    usable: list[Path] = []
    skipped: dict[Path, str] = {}
    for path in photos:
        try:
            with Image.open(path) as image:
                short = min(image.size)
        except Exception as error:  # noqa: BLE001  Pillow raises all kinds on damaged headers
            skipped[path] = f"not a readable picture ({type(error).__name__})"
            continue
        if short < size:
            skipped[path] = too_small(short, size)
        else:
            usable.append(path)
    if not usable:
        raise TrainingError(
            f"no usable photos in {content} ({len(skipped)} unusable)",
            f"they need at least {size} px on the short side; see --size",
        )
    return usable, skipped


def fingerprint_of(photos: list[Path], content: Path) -> str:
    """A hash that changes when a photo is added, removed, renamed or resized."""
    digest = hashlib.sha256()
    for path in photos:
        digest.update(os.fsencode(path.relative_to(content)))
        digest.update(f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()
