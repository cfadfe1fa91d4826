"""What the verbs report while they run: frozen dataclasses, drawn by `progress` or printed as JSON.

Times are seconds, sizes pixels, memory bytes.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """Something that happened: the base of all that follow."""


@dataclass(frozen=True)
class Backend(Event):
    """What the work runs on, said once at the start; `norm` is what computes instance norms."""

    device: str
    precision: str
    detail: str
    norm: str


@dataclass(frozen=True)
class PhotoSkipped(Event):
    """A content photo that training cannot use; each is reported once."""

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
    """Something a person should know, said once."""

    text: str


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
    """Step `failed` diverged, for that reason; training goes on from `step`, at a lower rate."""

    failed: int
    step: int
    lr: float
    reason: str


@dataclass(frozen=True)
class FileWritten(Event):
    """A picture, table or checkpoint that has just been written; `kind` says which."""

    kind: str
    path: Path


@dataclass(frozen=True)
class TrainingStopped(Event):
    """Training was asked to stop and saved a checkpoint into `folder`."""

    step: int
    folder: Path


@dataclass(frozen=True)
class TrainingDone(Event):
    """The style is written; `steps` and `seconds` are those of this run, not of one it resumed."""

    style: Path
    steps: int
    seconds: float


@dataclass(frozen=True)
class Planned(Event):
    """What a run would do with a photo: `state` is that of its output now."""

    source: Path
    target: Path
    state: str


@dataclass(frozen=True)
class ApplyStarted(Event):
    """`photos` are to be stylized, `current` are up to date, `ignored` files are no pictures."""

    style: str
    photos: int
    current: int
    ignored: int


@dataclass(frozen=True)
class PhotoCurrent(Event):
    """An output that is up to date, and left alone."""

    source: Path
    target: Path


@dataclass(frozen=True)
class PhotoBegun(Event):
    """A photo that goes into the network, which sees (the largest frame of) it at that size; `way`
    says how, and `memory` what the process takes at its peak for this photo, as it is expected."""

    source: Path
    width: int
    height: int
    way: str
    memory: int


@dataclass(frozen=True)
class PhotoDone(Event):
    """`warnings` say what could not be taken over as it was; `seconds` are those of its work."""

    source: Path
    target: Path
    width: int
    height: int
    frames: int
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoFailed(Event):
    """`source` is a folder where that is what cannot be read."""

    source: Path
    reason: str


@dataclass(frozen=True)
class ApplyDone(Event):
    """`left` photos were not begun, for the reason in `stopped`; `failures` is the list's file."""

    done: int
    failed: int
    current: int
    left: int
    megapixels: float
    seconds: float
    output: Path
    failures: Path | None
    stopped: str


@dataclass(frozen=True)
class AuditStarted(Event):
    """Of `sources` of the `photos` it is known what they were made from."""

    photos: int
    sources: int


@dataclass(frozen=True)
class PhotoSeen(Event):
    """A photo that has been measured."""

    path: Path


@dataclass(frozen=True)
class PhotoAudited(Event):
    """A photo in its set. `distance` is that from the set's centre, `before` that of its source
    from the centre of the sources, `style_distance` that from the style's picture. `reasons` say
    why it does not belong, if it does not; `measures` are named in `audit.MEASURES`."""

    path: Path
    source: Path | None
    distance: float
    before: float | None
    style_distance: float | None
    measures: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class AuditDone(Event):
    """Of the set: `spread` is the mean distance from its centre, `spread_before` that of the
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
    """One photo under every light, by name: the mean CIEDE2000 of all pixels between it and the
    photo in its own light, of the photos and of what the style makes of them."""

    path: Path
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class LightingDone(Event):
    """Medians over the photos: by light, and over all of them (`spread`)."""

    photos: int
    failed: int
    spread: float
    spread_before: float
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class VariantPlanned(Event):
    """What a job would do for one variant of one style: `states` counts photos by that of their
    output now, `ignored` other files."""

    style: str
    variant: str
    output: Path
    states: dict[str, int]
    ignored: int


@dataclass(frozen=True)
class VariantStarted(Event):
    """The events up to `ApplyDone` are of this one."""

    style: str
    variant: str
    output: Path


@dataclass(frozen=True)
class JobDone(Event):
    """All variants together. `broken` says which limits of the audit are not kept."""

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
    """One style of a sheet."""

    name: str


@dataclass(frozen=True)
class StyleVerified(Event):
    """How far a style's picture of the shipped photo is from the one in its file, in grey levels;
    None where it could not be made. `same` says whether rounding explains it, `reason` why not."""

    name: str
    largest: int | None
    mean: float | None
    same: bool
    reason: str
