"""Everything that a GPU is to be measured for, in one go.

The most valuable part comes first, and each prints and records its figures as soon as it is done,
so a run that is cut off still counts. A part that fails is recorded with the reason and stops
nothing; one that would not fit into --minutes stays open. Needs this repository and its test
requirements, nothing else. OUTPUT gets the pictures, the logs of the tests and `figures.json`.

1. kernels: the tests of instance norm, with compiled kernels
2. tests: all other tests that compute on a GPU where there is one
3. norm: forward and backward beside a copy of as many bytes, `InstanceNorm2d` eager and compiled;
   each started from Python, and replayed from a CUDA graph
4. photo: one photo, our network beside the paper's in eager fp32 and in bf16, and ours as `stylize
   apply` does it, replayed from a CUDA graph
5. apply: `stylize apply` on 300 JPEGs of a megapixel, beside its network, decoder and encoder alone
6. style: `stylize train` from the base with its defaults
7. large: 100 and 400 megapixels
8. verify: `stylize verify` of all styles

    python bench/gpu.py [PART ...] [--device cuda] [--minutes 8] [--output gpu] [--quick]
"""

import argparse
import gc
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import any_size
import apply_speed
import batch
import instance_norm
import torch
from common import COFFEE, machine, median_ratio, record, side_by_side
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stylize import load_style
from stylize.config import DRAFT_REVISE, NetworkConfig
from stylize.network.architectures import build_network
from stylize.network.device import Compute, choose
from stylize.network.replay import Replay
from stylize.photos.decoder import read_photo

ROOT = Path(__file__).parent.parent
KERNEL_TESTS = ROOT / "tests" / "network" / "instance_norm"
STYLE = "woodblock"
SHAPES = (("quarter", 512, 1), ("quarter", 1024, 4), ("half", 1024, 4), ("eighth", 2048, 4))
NORM_GOALS = {"forward": 0.85, "forward and backward": 0.80}  # of a copy's bandwidth

Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """`quick` computes little of each part: it shows that the script works, not how fast it is."""

    compute: Compute
    output: Path
    end: float  # of `time.monotonic`
    quick: bool

    @property
    def device(self) -> torch.device:
        return self.compute.device

    def run(self, name: str, *words: object) -> subprocess.CompletedProcess[str]:
        """A command of Python, for a part of that name. What it prints is kept in OUTPUT."""
        command = [sys.executable, *map(str, words)]
        log, most = self.output / f"{name}.txt", self.end - time.monotonic()
        limit = None if self.quick else max(1.0, min(most, 3 * PARTS[name][1]))
        with log.open("w") as file:
            result = subprocess.run(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=limit, check=False
            )
        said = log.read_text()
        if result.returncode not in (0, 1):  # 1: a test or a photo failed, which the output says
            raise RuntimeError(f"exit code {result.returncode}: {said.strip()[-300:]}")
        return subprocess.CompletedProcess(command, result.returncode, said)

    def events(self, name: str, *words: object) -> list[dict[str, Any]]:
        """The events of a command of stylize."""
        said = self.run(name, "-m", "stylize", *words, "--json").stdout
        found = [json.loads(line) for line in said.splitlines() if line.startswith('{"event"')]
        if not found:
            raise RuntimeError(said.strip()[-300:])
        return found


def kernels(plan: Plan) -> Figures:
    few = ["-k", "paper"] if plan.quick else []
    return run_tests(plan, "kernels", KERNEL_TESTS, *few)


def other_tests(plan: Plan) -> Figures:
    few = [ROOT / "tests" / "network" / "test_strips.py", "-k", "paper"] if plan.quick else []
    return run_tests(plan, "tests", "-m", "gpu", f"--ignore={KERNEL_TESTS}", *few)


def run_tests(plan: Plan, name: str, *words: object) -> Figures:
    said = plan.run(name, "-m", "pytest", "-p", "no:cacheprovider", *words).stdout
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", said)
    if not counts:
        raise RuntimeError(said.strip()[-300:])
    return {what: int(number) for number, what in counts}


def norm(plan: Plan) -> Figures:
    rows: list[Figures] = []
    on_cuda = plan.device.type == "cuda" and not plan.quick
    options = Namespace(
        device=plan.device.type,
        dtype="bf16",
        layout="channels_last",
        rounds=3,
        no_compile=plan.quick,
    )
    cases = itertools.product(
        (False, True) if on_cuda else (False,),
        (False, True),
        SHAPES[:1] if plan.quick else SHAPES,
    )
    for options.replayed, training, shape in cases:
        try:
            found = instance_norm.measure(*shape, training, options)
        except Exception as error:  # noqa: BLE001 the other shapes are still worth measuring
            rows.append({"shape": shape, "failed": str(error)[:300]})
            continue
        ratios = found["times as fast as"]
        rows.append(
            {
                "pass": found["pass"],
                "replayed": options.replayed,
                "shape": found["shape"],
                "of a copy": round(ratios["copy"], 3),
                "goal": NORM_GOALS[found["pass"]],
                "times eager": round(ratios["InstanceNorm2d"], 2),
                "times compiled": round(ratios.get("compiled", 0), 2) or "open",
            }
        )
    return {"rows": rows}


@torch.inference_mode()
def photo(plan: Plan) -> Figures:
    compute, device = plan.compute, plan.device
    paper = apply_speed.johnson_as_commonly_written()
    cast = build_network(NetworkConfig(architecture="johnson"))
    networks: dict[str, torch.nn.Module] = {
        "paper, eager fp32": paper,
        f"paper, {compute.precision}": cast.to(compute.dtype, memory_format=torch.channels_last),
        "ours": apply_speed.as_applied(DRAFT_REVISE, compute),
    }
    for network in networks.values():
        network.eval().requires_grad_(False).to(device)
    peak = 0.0 if plan.quick else apply_speed.matmul_peak(device, compute.dtype)
    callables = networks | {"ours, replayed": Replay(networks["ours"])}
    rows = []
    for size in (64,) if plan.quick else (512, 1024, 2048, 4096):
        image = torch.rand(1, 3, size, size, device=device)
        functions = {
            name: lambda network=network, image=image: network(image)
            for name, network in callables.items()
        }
        seconds = side_by_side(functions, 2 if plan.quick else 10, device)
        for name, times in seconds.items():
            row = {"size": size, "network": name, "ms": round(1e3 * min(times), 2)}
            if "paper, eager fp32" in seconds:
                row["times as fast"] = round(median_ratio(seconds["paper, eager fp32"], times), 1)
            if peak and name.startswith("ours"):
                flops = 2 * apply_speed.macs(networks["ours"], image)
                row["of the matrix peak"] = round(flops / min(times) / peak, 3)
            rows.append(row)
    return {"rows": rows}


def apply(plan: Plan) -> Figures:
    lots, megapixels = ((1, 2), 0.1) if plan.quick else ((100, 300), 1.0)
    seconds = []
    with tempfile.TemporaryDirectory() as place:
        photo = Path(place) / "photo.jpg"
        any_size.make_photo(photo, megapixels)
        for count in lots:  # the difference is what photos take without the start
            source, target = Path(place) / f"{count}", Path(place) / f"{count} painted"
            source.mkdir()
            for index in range(count):
                (source / f"{index}.jpg").write_bytes(photo.read_bytes())
            words = ("apply", STYLE, source, "-o", target, "--device", plan.device.type)
            done = plan.events("apply", *words)[-1]
            seconds.append(done["seconds"])
        paths = sorted(source.iterdir())[: 1 if plan.quick else 20]
        pictures = [batch.read(path) for path in paths]
        style = load_style(STYLE, plan.device.type)
        batch.network_alone(style, pictures)  # warm
        network = batch.network_alone(style, pictures) / len(paths)
        files = batch.decode_and_encode(paths, target) / len(paths) / (os.cpu_count() or 1)
    each = max(1e-9, seconds[1] - seconds[0]) / (lots[1] - lots[0])
    return {
        "photos": done["done"],
        "failed": done["failed"],
        "photos/s, start included": round(done["done"] / seconds[1], 2),
        "photos/s": round(1 / each, 2),
        "network alone, photos/s": round(1 / network, 2),
        "decoding and encoding alone on all cores, photos/s": round(1 / files, 2),
        "limited by": "files" if files > network else "network",
        "times the slower of both": round(each / max(files, network), 2),
    }


def style(plan: Plan) -> Figures:
    words: list[object] = ["train", ROOT / "samples" / "styles" / "composition-viii.jpg"]
    words += ["--content", ROOT / "samples" / "photos", "--name", "trained", "--overwrite"]
    words += ["--output", plan.output, "--device", plan.device.type]
    if plan.quick:
        words += ["--steps", 4, "--size", 64, "--style-size", 32]
    found = plan.events("style", *words)
    steps = [event for event in found if event["event"] == "StepDone"]
    done = next(event for event in found if event["event"] == "TrainingDone")
    painter = load_style(str(done["style"]), plan.device.type)
    painter.stylize(read_photo(COFFEE).rgb).save(plan.output / "trained.png")
    last = [event["total"] for event in steps[-20:]]
    return {
        "steps": done["steps"],
        "seconds": round(done["seconds"], 1),
        "goal, seconds": 60,
        "objective, mean of the last steps": round(sum(last) / len(last), 3),
    }


def large(plan: Plan) -> Figures:
    sizes = [1] if plan.quick else [100, 400]
    console, on_cpu = Console(width=110), plan.device.type == "cpu"
    rows = any_size.time_and_memory(STYLE, plan.device.type, sizes, console, from_disk=on_cpu)
    return {"rows": rows}


def verify(plan: Plan) -> Figures:
    names = [STYLE] if plan.quick else []
    found = plan.events("verify", "verify", *names, "--device", plan.device.type)
    shown = ("name", "largest", "mean", "same")
    rows = [{key: e[key] for key in shown} for e in found if e["event"] == "StyleVerified"]
    return {"rows": rows}


# Name -> what measures it, and how many seconds it takes on a fast GPU, at most.
PARTS: dict[str, tuple[Callable[[Plan], Figures], float]] = {
    "kernels": (kernels, 60),
    "tests": (other_tests, 60),
    "norm": (norm, 90),
    "photo": (photo, 60),
    "apply": (apply, 60),
    "style": (style, 90),
    "large": (large, 90),
    "verify": (verify, 30),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {', '.join(PARTS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--output", type=Path, default=Path("gpu"))
    parser.add_argument("--quick", action="store_true", help="a little of each part, on any device")
    options = parser.parse_args()
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    output = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    plan = Plan(choose(options.device), output, end, options.quick)
    console = Console(width=110)
    console.print(machine(plan.device))
    everything: Figures = {"machine": machine(plan.device), "quick": plan.quick}
    for name in options.parts or PARTS:
        measure, seconds = PARTS[name]
        everything[name] = measured(plan, measure, seconds)
        console.print(f"[bold]{name}[/]", everything[name])
        (output / "figures.json").write_text(json.dumps(everything, indent=1))
        if not plan.quick and "took" in everything[name]:
            record(f"gpu {name}", plan.device, everything[name])
    console.print(summary(everything))


def measured(plan: Plan, measure: Callable[[Plan], Figures], seconds: float) -> Figures:
    left = max(0.0, plan.end - time.monotonic())
    if not plan.quick and left < seconds:
        return {"open": f"{left:.0f} s were left of the {seconds:.0f} s that it may take"}
    started = time.monotonic()
    try:
        figures = measure(plan)
    except Exception as error:  # noqa: BLE001 the next part is still worth measuring
        trace = traceback.format_exc(limit=-1).strip().splitlines()
        return {"failed": f"{type(error).__name__}: {error}"[:500], "where": trace[1:2]}
    finally:  # for the commands of the next parts
        gc.collect()
        torch.compiler.reset()
        if plan.device.type == "cuda":
            torch.cuda.empty_cache()
    return figures | {"took": round(time.monotonic() - started, 1)}


def summary(everything: Figures) -> Table:
    """A row for each part, whether measured or open."""
    table = Table("part", "figures")
    for name in PARTS:
        figures = everything.get(name, {"open": "not asked for"})
        rows = figures.get("rows", [figures])
        table.add_row(name, escape("\n".join(json.dumps(row) for row in rows)))
    return table


if __name__ == "__main__":
    main()
