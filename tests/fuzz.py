"""Damaged files: style headers, manifests, job files and recipes, each read as a command reads it.

    python tests/fuzz.py KIND COUNT

Prints what has come of it as JSON: how many were read and how many were refused, every `failure`
(an exception that is no error of stylize, or a wrong result), the longest time in seconds, and the
megabytes beyond what reading the whole file takes.
"""

import json
import random
import resource
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from typing import Any

SEED = 4
HANG = 20  # seconds
ODD = (
    *(None, True, -1, 0, 1e308, float("nan"), float("inf"), 2**63, -(2**70), "", "x" * 100_000),
    *("../../up", "/etc", "..", "a\0b", "\x1b[2J", "\ud800", "NaN", [], {}, [[]], {"": {}}, "auto"),
    *(json.loads("[" * 400 + "]" * 400), {"x" * 1000: [1] * 1000}, "s3://user:secret@bucket", "~"),
)


JOB = """\
inputs = ["photos", "more"]
output = "painted"
styles = ["woodblock", "styles/mine.safetensors"]
masks = "masks"
[look]
strength = 0.5
[[variant]]
name = "web"
size = 2048
format = "webp"
quality = 90
file_name = "{stem}-{style}{suffix}"
[[variant]]
name = "thumb"
background = "keep"
numbered = true
[audit]
max_spread = 0.5
max_outliers = 0
report = true
"""


def mutated(content: bytes, choose: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, or the end lost."""
    changed = bytearray(content)
    for _ in range(choose.randint(1, 6)):
        place = choose.randrange(min(len(changed), 400) if choose.random() < 0.7 else len(changed))
        match choose.randrange(5):
            case 0:
                changed[place] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
            case 1:
                changed[place : place + 4] = choose.choice(
                    (b"\xff" * 4, b"\0" * 4, b"\0\0\x7f\xff")
                )
            case 2:
                del changed[place : place + choose.randint(1, 8)]
            case 3:
                changed[place:place] = changed[place : place + choose.randint(1, 64)]
            case 4 if len(changed) > 60:
                del changed[choose.randrange(50, len(changed)) :]
        if not changed:
            break
    return bytes(changed)


def odd(values: Any, choose: random.Random) -> Any:
    """The values with one of them, at any depth, odd, missing, or of another name."""
    if isinstance(values, dict) and values and choose.random() < 0.9:
        key = choose.choice(list(values))
        rest = {k: v for k, v in values.items() if k != key}
        match choose.randrange(8):
            case 0:
                return rest
            case 1:
                return rest | {key[:-1]: values[key]}
            case _:
                return values | {key: odd(values[key], choose)}
    if isinstance(values, list) and values and choose.random() < 0.8:
        index = choose.randrange(len(values))
        return [*values[:index], odd(values[index], choose), *values[index + 1 :]]
    return choose.choice(ODD)


class Styles:
    """Style files, loaded."""

    def __init__(self) -> None:
        import torch
        from conftest import TINY

        from stylize.config import TrainConfig
        from stylize.network.architectures import build_network
        from stylize.network.style_file import save_style
        from stylize.network.style_header import StyleHeader, StylePicture

        torch.manual_seed(0)
        picture = StylePicture("A Picture", "A. Painter", "1900", "public domain", "0" * 64)
        config = TrainConfig(steps=100, size=256)
        header = StyleHeader("tiny", TINY, config, [picture], [(1, {"content": 0.5})])
        self.path = Path("tiny.safetensors")
        save_style(self.path, build_network(TINY).state_dict(), header)
        self.whole = self.path.read_bytes()

    def mutation(self, choose: random.Random) -> bytes:
        length = int.from_bytes(self.whole[:8], "little")
        head, rest = self.whole[8 : 8 + length], self.whole[8 + length :]
        match choose.randrange(3):
            case 0:
                return mutated(self.whole, choose)
            case 1:  # the header alone, whose length is as it says
                head = mutated(head, choose)
            case 2:  # the document in it
                values = json.loads(head)
                document = odd(json.loads(values["__metadata__"]["stylize"]), choose)
                values["__metadata__"]["stylize"] = json.dumps(document)
                head = json.dumps(values).encode()
        return len(head).to_bytes(8, "little") + head + rest

    def read(self) -> None:
        from stylize.network.style_card import card
        from stylize.network.style_file import load_network

        card(load_network(self.path)[1])


class Manifests:
    """Manifests, asked for the state of an output."""

    def __init__(self) -> None:
        from stylize.batch.manifest import Manifest, Record
        from stylize.batch.plan import Job
        from stylize.config import ApplyConfig
        from stylize.files import digest

        self.options = ApplyConfig().recipe()
        self.jobs = []
        for name in ("a.jpg", "b.jpg"):
            Path(name).write_text(name)
            (Path("out") / name).parent.mkdir(exist_ok=True)
            (Path("out") / name).write_text(f"painted {name}")
            self.jobs.append(Job(Path(name), Path(name), Path("out") / name, Path(name)))
        record = Record(
            *(
                "a.jpg",
                digest(Path("out/a.jpg")),
                "a.jpg",
                5,
                digest(Path("a.jpg")),
                None,
                "5" * 64,
            ),
            *(self.options, "2026-01-01T00:00:00+00:00", 0.5, ("a warning",)),
        )
        with Manifest.locked(Path("out")) as manifest:
            manifest.add(record)
            manifest.add(Record(**(asdict(record) | {"target": "b.jpg", "output": "0" * 64})))
        self.path = Path("out/.stylize/manifest.jsonl")
        self.whole = self.path.read_bytes()

    def mutation(self, choose: random.Random) -> bytes:
        if choose.random() < 0.5:
            return mutated(self.whole, choose)
        lines = [json.loads(line) for line in self.whole.splitlines()]
        return b"\n".join(json.dumps(odd(line, choose)).encode() for line in lines)

    def read(self) -> None:
        from stylize.batch.manifest import Manifest, State
        from stylize.errors import UsageError

        with Manifest.locked(Path("out")) as manifest:
            states = [manifest.state(job, None, "5" * 64, self.options) for job in self.jobs]
        assert states[1] is State.FOREIGN, "a file that was never recorded counts as written"
        if states[0] is not State.CURRENT:
            raise UsageError("its line is damaged")


class Jobs:
    """Job files."""

    def __init__(self) -> None:
        self.path = Path("brand.toml")
        self.whole = JOB.encode()

    def mutation(self, choose: random.Random) -> bytes:
        return _toml(self.whole, choose)

    def read(self) -> None:
        from stylize.consistency.job_file import read_brand

        brand = read_brand(self.path)
        for style in brand.styles:
            for variant in brand.variants:
                assert brand.folder(style, variant.name).parent.parent == brand.output
                assert ".." not in (style, variant.name), "a folder outside of the output"


class Recipes:
    """Recipes, given to `stylize train` for a picture that is missing."""

    def __init__(self) -> None:
        from stylize.training.recipe import write_recipe

        self.path = Path("recipe.toml")
        settings = {"steps": 20, "lr": 1e-3, "only-norm": False, "layer-weight": ["relu1_2=2"]}
        settings |= {"style-weight": 2, "batch-size": 2, "seed": 3, "title": "T", "size": 64}
        self.whole = write_recipe(settings | {"device": "cpu", "name": "x"}).encode()

    def mutation(self, choose: random.Random) -> bytes:
        return _toml(self.whole, choose)

    def read(self) -> None:
        from stylize.cli.main import WrongWords, app
        from stylize.errors import ImageError, UsageError

        words = ["train", "gone.png", "--content", ".", "--from", "scratch"]
        words += ["--recipe", str(self.path)]
        try:
            app(words, standalone_mode=False)
        except WrongWords as error:
            raise UsageError(str(error)) from error
        except ImageError:  # of the picture: the recipe has been read
            pass


def _toml(content: bytes, choose: random.Random) -> bytes:
    import tomli_w

    if choose.random() < 0.5:
        return mutated(content, choose)
    try:
        return tomli_w.dumps(odd(tomllib.loads(content.decode()), choose)).encode()
    except (TypeError, ValueError, AttributeError, RecursionError):  # TOML cannot say it
        return mutated(content, choose)


KINDS: dict[str, Callable[[], Any]] = {
    "style": Styles,
    "manifest": Manifests,
    "job": Jobs,
    "recipe": Recipes,
}


def fuzz(kind: str, count: int) -> dict[str, Any]:
    """Read so many mutations of a file in the current folder."""
    from stylize.errors import StylizeError

    subject, choose = KINDS[kind](), random.Random(SEED)
    subject.path.write_bytes(subject.whole)
    subject.read()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[str, Any] = {"read": 0, "refused": 0, "failures": [], "longest": 0.0}
    signal.signal(signal.SIGALRM, _hang)
    for _ in range(count):
        subject.path.write_bytes(subject.mutation(choose))
        started = time.process_time()
        signal.alarm(HANG)
        try:
            subject.read()
            found["read"] += 1
        except StylizeError:
            found["refused"] += 1
        except Exception:  # noqa: BLE001 what is looked for
            found["failures"].append(traceback.format_exc())
        signal.alarm(0)
        found["longest"] = max(found["longest"], time.process_time() - started)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"megabytes": (after - before) / 1024}


def _hang(*_: object) -> Iterator[None]:
    raise TimeoutError("it hangs")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        print(json.dumps(fuzz(sys.argv[1], int(sys.argv[2]))))
