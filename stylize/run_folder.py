"""Where a training writes: the style, beside a folder with everything of the run."""

from pathlib import Path

from stylize.assets import SUFFIX, check_name
from stylize.checkpoint import RunState, load_run, save_run
from stylize.errors import StyleFileError, UsageError
from stylize.files import TEMPORARY

CHECKPOINT = "checkpoint-"


class RunFolder:
    """The style file `<output>/<name>.safetensors`, and the folder `<output>/<name>/`."""

    def __init__(self, output: Path, name: str) -> None:
        self.style = output / (check_name(name) + SUFFIX)
        self.folder = output / name
        self.preview = self.folder / "preview.jpg"
        self.losses = self.folder / "losses.csv"
        self.plot = self.folder / "losses.png"
        self.summary = self.folder / "summary.png"
        self.recipe = self.folder / "recipe.toml"

    def checkpoints(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob(f"{CHECKPOINT}*{SUFFIX}"), reverse=True)

    def refuse_to_lose(self, *, resume: bool, overwrite: bool) -> None:
        """Raises UsageError where there is nothing to resume, or something would be lost."""
        if resume:
            if not self.checkpoints():
                raise UsageError(
                    f"no checkpoint in {self.folder} to resume", "start without --resume"
                )
        elif not overwrite:
            for path in (self.style, *self.checkpoints()):
                if path.exists():
                    raise UsageError(
                        f"{path} exists already",
                        "go on with --resume, start anew with --overwrite, "
                        "or choose another --name",
                    )

    def save(self, state: RunState, keep: int) -> Path:
        """Write a checkpoint, then remove all but the newest `keep`.

        Raises:
            StyleFileError: it cannot be written; those before it are as they were.
        """
        path = self.folder / f"{CHECKPOINT}{state.step:08}{SUFFIX}"
        save_run(path, state)
        for old in self.checkpoints()[keep:]:
            old.unlink(missing_ok=True)
        return path

    def clear(self) -> None:
        """Remove the checkpoints of an earlier training, which a resumed one must not find."""
        for path in self.checkpoints():
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what a training that was killed left half-written, under names of its own."""
        for path in self.folder.glob(TEMPORARY + "*"):
            path.unlink(missing_ok=True)

    def newest(self) -> tuple[RunState, Path, list[str]]:
        """The newest checkpoint that is whole, where it is, and what is wrong with newer ones.

        Raises:
            StyleFileError: none is whole.
        """
        damaged: list[str] = []
        for path in self.checkpoints():
            try:
                return load_run(path), path, damaged
            except StyleFileError as error:
                damaged.append(str(error))
        raise StyleFileError("; ".join(damaged), "start anew with --overwrite")
