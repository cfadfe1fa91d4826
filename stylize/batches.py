"""Pictures -> batches: random crops for training, photos of one size side by side for apply."""

import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from stylize.errors import ImageError, TrainingError
from stylize.images import read_photo
from stylize.tensors import to_tensor

FLAT_SHARE = 0.2  # of the crops

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Future[Result]]:
    """Run `function` over `items` in threads, at most `ahead` of the consumer, in order."""
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

    Which photo, crop and flip stand at place i of the stream depends on the seed, i and the list
    of photos alone, so a resumed training continues with the very same data. An epoch shows every
    photo once, in an order of its own. A photo that turns out to be unusable is replaced by the
    next one; `unusable` tells each such photo and the reason.
    """

    def __init__(self, photos: Sequence[Path], size: int, seed: int) -> None:
        self.photos = photos
        self.size = size
        self.seed = seed
        self.unusable: dict[Path, str] = {}

    def crop(self, place: int) -> Tensor:
        """The crop at `place` >= 0 of the stream: (3, size, size) in [0, 1].

        Raises:
            TrainingError: none of the photos can be used.
        """
        epoch, index = divmod(place, len(self.photos))
        order = random.Random(f"{self.seed} epoch {epoch}").sample(self.photos, len(self.photos))
        for path in order[index:] + order[:index]:
            if path in self.unusable:
                continue
            try:
                return self._crop(path, random.Random(f"{self.seed} place {place}"))
            except ImageError as error:
                self.unusable[path] = error.about(path)
        raise TrainingError("none of the content photos can be used")

    def _crop(self, path: Path, choose: random.Random) -> Tensor:
        photo = read_photo(path).rgb
        short = min(photo.size)
        if short < self.size:
            raise ImageError(f"{path}: {too_small(short, self.size)}")
        side = choose.randint(max(self.size, short // 2), short)
        left = choose.randint(0, photo.width - side)
        top = choose.randint(0, photo.height - side)
        box = (left, top, left + side, top + side)
        crop = photo.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        if choose.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if choose.random() < FLAT_SHARE:
            crop = self._on_flat_ground(crop, choose)
        return to_tensor(crop)

    def _on_flat_ground(self, crop: Image.Image, choose: random.Random) -> Image.Image:
        """The crop made smaller, somewhere on plain white or grey, as product photos are.

        Perfectly flat areas are where a network that has never seen any paints dots and halos.
        """
        grey = choose.choice((255, 255, 255, choose.randrange(256)))
        ground = Image.new("RGB", (self.size, self.size), (grey, grey, grey))
        width, height = (round(self.size * choose.uniform(0.3, 0.8)) for _ in range(2))
        place = (choose.randint(0, self.size - width), choose.randint(0, self.size - height))
        ground.paste(crop.resize((width, height), Image.Resampling.BICUBIC), place)
        return ground

    def batches(self, batch_size: int, first: int = 0) -> Iterator[Tensor]:
        """(batch_size, 3, size, size) batches without end, from batch number `first` on."""
        places = iter(range(first * batch_size, 1 << 62))
        crops = prefetch(self.crop, places, ahead=2 * batch_size)
        while True:
            yield torch.stack([next(crops).result() for _ in range(batch_size)])


def too_small(short: int, size: int) -> str:
    """Why a photo with that short side is not used for crops of that size."""
    return f"smaller than the training size ({short} < {size} px)"
