"""Events: what train, apply, audit and job report while they run. The command line prints them.

Times are in seconds, sizes in pixels, memory in bytes.
"""

from dataclasses import dataclass
from pathlib import Path

from stylize.files import Location


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Backend(Event):
    """What a run computes on, reported once; `norm` is the backend of instance norm."""

    device: str
    precision: str
    detail: str
    norm: str


@dataclass(frozen=True)
class PhotoSkipped(Event):
    """A content photo that training cannot use; reported once."""

    path: Path
    reason: str


@dataclass(frozen=True)
class TrainingStarted(Event):
    name: str
    photos: int
    first_step: int
    steps: int
    parameters: int


@dataclass(frozen=True)
class Note(Event):
    text: str  # that the user should know


@dataclass(frozen=True)
class StepDone(Event):
    """One optimizer step. `losses` are unweighted, by name; `total` is their weighted sum."""

    step: int
    steps: int
    losses: dict[str, float]
    total: float
    photos_per_second: float
    seconds_left: float
    peak_memory: int


@dataclass(frozen=True)
class WentBack(Event):
    """Step `failed` diverged for `reason`; training continues from `step` at a lower rate."""

    failed: int
    step: int
    lr: float
    reason: str


@dataclass(frozen=True)
class FileWritten(Event):
    """A picture, table or checkpoint (`kind`) has been written."""

    kind: str
    path: Path


@dataclass(frozen=True)
class PartChecked(Event):
    """A part of an exported style (empty: all of it) has been run; its largest `difference` from
    the style's network, in grey levels."""

    part: str
    difference: float


@dataclass(frozen=True)
class TrainingStopped(Event):
    """Training has stopped on request, with a checkpoint in `folder`."""

    step: int
    folder: Path


@dataclass(frozen=True)
class TrainingDone(Event):
    """The style is written; `steps` and `seconds` count this run only, not one that it resumed."""

    style: Path
    steps: int
    seconds: float


@dataclass(frozen=True)
class PhotosListed(Event):
    """So many photos have been found in object stores so far."""

    photos: int


@dataclass(frozen=True)
class PhotosCompared(Event):
    """The outputs of so many photos have been compared with what earlier runs recorded."""

    photos: int


@dataclass(frozen=True)
class Planned(Event):
    """What a run would do with a photo; `state` is that of its output now."""

    source: Location
    target: Location
    state: str


@dataclass(frozen=True)
class ApplyStarted(Event):
    """`photos` will be stylized, `current` are up to date, `ignored` files are not pictures."""

    style: str
    photos: int
    current: int
    ignored: int


@dataclass(frozen=True)
class PhotoCurrent(Event):
    """An output that is up to date and stays as it is."""

    source: Location
    target: Location


@dataclass(frozen=True)
class PhotoBegun(Event):
    """A photo enters the network, its largest frame at `width` x `height`. `way` says how it is
    computed; `memory` is the expected peak of the process."""

    source: Location
    width: int
    height: int
    way: str
    memory: int


@dataclass(frozen=True)
class FramePainted(Event):
    """So many frames of a clip are painted, of about so many in all (`count`)."""

    source: Location
    frames: int
    count: int


@dataclass(frozen=True)
class PhotoDone(Event):
    """A photo is done. `warnings` name what could not be kept; `seconds` is its working time."""

    source: Location
    target: Location
    width: int
    height: int
    frames: int
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoFailed(Event):
    """A photo has failed; `source` may also be a folder that cannot be read."""

    source: Location
    reason: str


@dataclass(frozen=True)
class ApplyDone(Event):
    """`left` photos were not begun because of `stopped`; `failures` is the file that lists them."""

    done: int
    failed: int
    current: int
    left: int
    megapixels: float
    seconds: float
    output: Location
    failures: Location | None
    stopped: str


@dataclass(frozen=True)
class AuditStarted(Event):
    """For `sources` of the `photos`, the source photo is known."""

    photos: int
    sources: int


@dataclass(frozen=True)
class PhotoSeen(Event):
    path: Path  # of a photo that has been measured


@dataclass(frozen=True)
class PhotoAudited(Event):
    """A photo in its set. `distance` is from the set's centre, `before` that of its source from the
    sources' centre. `reasons` say why it does not belong; `audit.MEASURES` names the `measures`."""

    path: Path
    source: Path | None
    distance: float
    before: float | None
    style_distance: float | None
    measures: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class AuditDone(Event):
    """`spread` is the mean distance from the centre of the set, `spread_before` that of the
    sources, `deviations` the standard deviation of each measure."""

    photos: int
    failed: int
    spread: float
    spread_before: float | None
    style_distance: float | None
    outliers: int
    deviations: dict[str, float]


@dataclass(frozen=True)
class LightingMeasured(Event):
    """Light -> mean CIEDE2000 between one photo under that light and in its own: of the photos
    (`before`), and of the stylized pictures (`after`)."""

    path: Path
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class LightingDone(Event):
    """Medians over the photos: by light, and over all lights (`spread`)."""

    photos: int
    failed: int
    spread: float
    spread_before: float
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class VariantPlanned(Event):
    """What a job would do for one variant of one style: `states` counts photos by the state of
    their output, `ignored` counts other files."""

    style: str
    variant: str
    output: Path
    states: dict[str, int]
    ignored: int


@dataclass(frozen=True)
class VariantStarted(Event):
    """The events up to `ApplyDone` belong to this variant."""

    style: str
    variant: str
    output: Path


@dataclass(frozen=True)
class JobDone(Event):
    """All variants together. `broken` lists the broken limits of the audit."""

    done: int
    current: int
    failed: int
    left: int
    broken: tuple[str, ...]
    reports: tuple[Path, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        return not (self.failed or self.left or self.broken)


@dataclass(frozen=True)
class StyleDrawn(Event):
    name: str  # of a style on a contact sheet, which is done


@dataclass(frozen=True)
class StyleVerified(Event):
    """The difference between a style's picture of the shipped photo and its preview, in grey
    levels, or None. `same`: rounding explains it; otherwise `reason` says why not."""

    name: str
    largest: int | None
    mean: float | None
    same: bool
    reason: str
