"""The files that a training writes: the style, and a folder with everything of the run."""

import re
from pathlib import Path

from stylize.assets import SUFFIX, check_name
from stylize.errors import StyleFileError, UsageError
from stylize.files import TEMPORARY
from stylize.training.checkpoint import RunState, load_run, save_run

CHECKPOINT = re.compile(r"checkpoint-(\d{8,15})" + re.escape(SUFFIX))


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

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is written or taken away."""
        own = (self.preview, self.losses, self.plot, self.summary, self.recipe)
        return (self.style, *own, *self.checkpoints().values())

    def checkpoints(self) -> dict[int, Path]:
        """Step -> checkpoint file, newest first."""
        found = ((CHECKPOINT.fullmatch(path.name), path) for path in self.folder.glob("*"))
        by_step = {int(match[1]): path for match, path in found if match}
        return dict(sorted(by_step.items(), reverse=True))

    def refuse_to_lose(self, *, resume: bool, overwrite: bool) -> None:
        """Raises UsageError if there is nothing to resume, or something would be overwritten."""
        if resume:
            if not self.checkpoints():
                raise UsageError(
                    f"no checkpoint in {self.folder} to resume", "start without --resume"
                )
        elif not overwrite:
            for path in (self.style, *self.checkpoints().values()):
                if path.exists():
                    raise UsageError(
                        f"{path} exists already",
                        "continue with --resume, start over with --overwrite, "
                        "or choose another --name",
                    )

    def save(self, state: RunState, keep: int) -> Path:
        """Write a checkpoint, then remove all but the newest `keep`.

        Raises StyleFileError: it cannot be written; earlier checkpoints are intact.
        """
        path = self.folder / f"checkpoint-{state.step:08}{SUFFIX}"
        save_run(path, state)
        there = self.checkpoints()
        older = [step for step in there if step < state.step]
        # Newer ones belong to a course that was given up.
        for step in (*older[keep - 1 :], *(step for step in there if step > state.step)):
            there[step].unlink(missing_ok=True)
        return path

    def clear(self, after: int = -1) -> None:
        """Remove the checkpoints after that step."""
        for step, path in self.checkpoints().items():
            if step > after:
                path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove temporary files that a killed training left."""
        for path in self.folder.glob(TEMPORARY + "*"):
            path.unlink(missing_ok=True)

    def load(self) -> tuple[list[RunState], list[str]]:
        """The intact checkpoints, newest first, and what is wrong with the others.

        Raises StyleFileError: none is intact.
        """
        whole: list[RunState] = []
        damaged: list[str] = []
        for path in self.checkpoints().values():
            try:
                whole.append(load_run(path))
            except StyleFileError as error:
                damaged.append(str(error))
        if not whole:
            raise StyleFileError("; ".join(damaged), "start over with --overwrite")
        return whole, damaged
