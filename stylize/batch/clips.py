"""Clips -> painted clips, one after the other, each in segments from which a later run goes on."""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from PIL import Image

from stylize.batch.ahead import in_order
from stylize.batch.manifest import Manifest, Records
from stylize.batch.painter import NO_SPACE, Encoded, make_record
from stylize.batch.pipeline import FAILED, Pipeline
from stylize.batch.ray_pipeline import RayPipeline
from stylize.batch.reader import Origin, failed
from stylize.batch.single_output import SingleOutput
from stylize.batch.tasks import Recipe, Task
from stylize.batch.writer import FULL, Outcome, Writer
from stylize.config import ApplyConfig
from stylize.errors import ImageError
from stylize.events import Backend, FramePainted, PhotoBegun, PhotoDone, PhotoFailed
from stylize.files import digest, fingerprint, is_clip, open_file, write_file
from stylize.network.memory import Need, affordable, make_budget
from stylize.photos.decoder import read_mask
from stylize.photos.masks import product_mask
from stylize.photos.photo import Photo
from stylize.style import Style
from stylize.video.clip import Clip, Frame, measure_clip, read_frames

SEGMENT = 64  # frames
PER_PIXEL = 230  # bytes: of the frames in work, and while a painting goes on from the last one
PIECE = 1 << 20  # bytes
SUFFIX = ".nut"  # of a segment


class ClipPipeline:
    """Runs tasks with one style into one output folder: those whose sources are photos in another
    pipeline, then the clips.

    A clip is one line in the manifest, as a photo is. Its segments lie in a folder of the output
    until all are there. In memory are a few frames and a segment, however long the clip is.
    """

    def __init__(
        self,
        photos: Pipeline | RayPipeline,
        style: Style,
        manifest: Records,
        recipe: Recipe,
        config: ApplyConfig,
    ) -> None:
        self.photos = photos
        self.style = style
        self.manifest = manifest
        self.recipe = recipe
        self.config = config
        # Light is not evened out: what is estimated anew for each frame would flicker.
        self.look = replace(config.look, even_light=False)
        self._writer = Writer(manifest, overwrite=config.overwrite)
        self._stopped = ""

    @property
    def stopped(self) -> str:
        """Why the run ended before all tasks were done, if it did."""
        return self.photos.stopped or self._stopped

    def describe(self) -> Backend:
        """What the run computes on."""
        return self.photos.describe()

    def run(
        self, tasks: Iterable[Task], *, failed: bool = False
    ) -> Iterator[PhotoBegun | FramePainted | Outcome]:
        """As `Pipeline.run`, with a `FramePainted` for each frame of a clip."""
        clips: list[Task] = []

        def photos() -> Iterator[Task]:
            for task in tasks:
                if is_clip(task.job.source):
                    clips.append(task)
                else:
                    yield task

        yield from self.photos.run(photos(), failed=failed)
        for task in clips:
            if self.stopped:
                return
            yield from self._try(task)

    def _try(self, task: Task) -> Iterator[PhotoBegun | FramePainted | Outcome]:
        try:
            yield from self._paint(task)
        except Exception as error:  # noqa: BLE001 one clip never stops the others
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                self._stopped = FULL
            elif self.config.fail_fast:
                self._stopped = self._stopped or FAILED
            yield failed(task, error)

    def _paint(self, task: Task) -> Iterator[PhotoBegun | FramePainted | PhotoDone]:
        started = time.monotonic()
        job, source = task.job, Path(task.job.source)
        self._refuse(source)
        mask = fingerprint(task.mask) if task.mask else None
        origin = Origin(task, source.stat().st_size, digest(source), mask)
        clip = measure_clip(source, self.config.size, self.config.max_megapixels * 1e6)
        budget = make_budget(self.config.max_memory, self.style.compute.device)
        steady = round(PER_PIXEL * math.prod(clip.size))
        ways = self.style.ways(clip.size, self.look)
        need = affordable([replace(way, host=way.host + steady) for way in ways], budget)
        memory = round(budget.base + need.host)
        yield PhotoBegun(source, *self.style.seen(clip.size, self.look), str(need.way), memory)
        assert isinstance(self.manifest, Manifest | SingleOutput)  # noqa: S101 for the type checker
        with self.manifest.unfinished(*self._keys(origin)) as folder:
            for done in self._segments(clip, task, need, folder):
                yield FramePainted(source, done, max(done, clip.count))
            from stylize.video.joiner import join  # with PyAV, which is there by now

            whole = folder / f"whole{job.target.suffix}"
            frames, warnings = join(clip, _segments(folder), whole, self.config)
            seconds = time.monotonic() - started
            record = make_record(origin, self.recipe, digest(whole), seconds, warnings)
            event = PhotoDone(source, job.target, *clip.size, frames, seconds, tuple(warnings))
            part = Encoded(_pieces(whole), record, event)
            outcome = self._writer.start(job, part).result()
            if isinstance(outcome, PhotoFailed):
                self._stopped = self._writer.stopped
                raise ImageError(outcome.reason)
        yield outcome

    def _refuse(self, source: Path) -> None:
        """Raise ImageError for a look that no clip can have."""
        if self.look.background == "transparent":
            raise ImageError(f"{source}: clips have no transparency; leave out --cut-out")
        if self.look.refine:
            raise ImageError(f"{source}: --refine is for single pictures; leave it out for clips")

    def _keys(self, origin: Origin) -> tuple[str, str]:
        """The first is the same for the same output, the second for the same segments."""
        job = origin.task.job
        made_from = (origin.sha256, origin.mask, self.recipe.style)
        texts = str(job.place), json.dumps([*made_from, self.recipe.options_of(job.source)])
        output, key = (hashlib.sha256(os.fsencode(text)).hexdigest() for text in texts)
        return output, key

    def _segments(self, clip: Clip, task: Task, need: Need, folder: Path) -> Iterator[int]:
        """Paint the clip from the first segment on that is not there; yields how many frames are
        done."""
        from stylize.video.encoder import SegmentEncoder
        from stylize.video.steady import SteadyPainter, read_state, write_state

        most = self.config.max_megapixels * 1e6
        mask = read_mask(task.mask, clip.size, most) if task.mask else None
        painter = SteadyPainter(self.style, self.look, need, self.manifest.scratch)
        ready = len(_segments(folder))
        if ready:
            painter.go_on_from(read_state(_state(folder, ready).read_bytes()))
        done = ready * SEGMENT
        # The network paints in this thread; beside it, the next frame is seen and the last held.
        seen = in_order(
            lambda frame: painter.see(self._photo(frame.rgb, mask), frame.time),
            read_frames(clip, done),
            1,
        )
        held = in_order(painter.hold, map(painter.paint, seen), 1)
        for number in count(ready):
            encoder = None
            for painting in islice(held, SEGMENT):
                encoder = encoder or SegmentEncoder(clip, self.config.codec, self.config.crf)
                encoder.add(Frame(painting.image, painting.time))
                done += 1
                yield done
            if encoder is None:
                return
            # First what the next segment goes on from: this one is the sign that it is there.
            write_file(_state(folder, number + 1), write_state(painting.state))
            write_file(folder / f"{number:06}{SUFFIX}", encoder.finish())
            _state(folder, number).unlink(missing_ok=True)

    def _photo(self, rgb: Image.Image, mask: Image.Image | None) -> Photo:
        photo = Photo(rgb, mask=mask)
        return replace(photo, mask=product_mask(photo)) if self.look.masked else photo


def _state(folder: Path, segments: int) -> Path:
    """The file of what the painter goes on from after so many segments."""
    return folder / f"{segments:06}.npz"


def _segments(folder: Path) -> list[Path]:
    """Those that are complete, in order."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _pieces(path: Path) -> Iterator[bytes]:
    with open_file(path) as file:
        while piece := file.read(PIECE):
            yield piece
