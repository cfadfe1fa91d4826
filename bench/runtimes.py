"""Are other runtimes faster? A style's exported parts by ONNX Runtime and OpenVINO, beside ours.

One photo in memory to its painting, with the sizes between the parts as `stylize apply` has them.
All ways in turn, on one thread (a core of its own for each photo, as in `stylize apply`) or as many
as are asked for. int8 is ONNX Runtime's own quantization of the convolutions: dynamic, or static
with ranges from sample photos. The difference is from our fp32, in grey levels. OpenVINO is
measured if it is installed.

    python bench/runtimes.py [--style woodblock] [--sizes 512 1024] [--rounds 8] [--threads 1]
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from common import COFFEE, PHOTOS, machine, median_ratio, record, side_by_side, some_photos
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quant_pre_process,
    quantize_dynamic,
    quantize_static,
)
from rich.console import Console
from rich.table import Table
from torch import Tensor

from stylize.assets import find_style
from stylize.export.export import export
from stylize.network.architectures import ready
from stylize.network.device import Compute
from stylize.network.draft_revise import PARTS, level_sizes, pyramid
from stylize.network.resample import resize_as
from stylize.network.style_file import load_network
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_tensor

CPU = torch.device("cpu")
OURS = {"ours, bf16": torch.bfloat16, "ours, fp32": torch.float32}
DYNAMIC, STATIC = "int8 dynamic", "int8 static"
CALIBRATED = 6  # photos

Part = Callable[..., np.ndarray]
Inputs = list[dict[str, np.ndarray]]


def photo_of(path: Path, side: int) -> Tensor:
    """(1, 3, side, side)."""
    rgb = read_photo(path).rgb
    return to_tensor(rgb.resize((side, side)))[None]


def by_parts(parts: dict[str, Part], draft_size: float) -> Callable[[Tensor], Tensor]:
    """The whole way of a photo, through parts that another runtime computes."""

    def paint(photo: Tensor) -> Tensor:
        sizes = level_sizes((photo.shape[2], photo.shape[3]), draft_size)
        first, *larger = (each.numpy() for each in pyramid(photo, sizes))
        painting = parts["draft"](first)
        for level, each in enumerate(larger):
            painting = parts["finisher" if level else "reviser"](each, painting)
        return resize_as(torch.from_numpy(painting), photo)

    return paint


def by_onnxruntime(path: Path) -> Part:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))[0]


def by_openvino(path: Path, precision: str) -> Part:
    import openvino

    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
    options["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda *given: compiled(given)[0].copy()


class Samples(CalibrationDataReader):
    def __init__(self, inputs: Inputs) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


def inputs_of(parts: dict[str, Part], draft_size: float) -> dict[str, Inputs]:
    """What each part is given for some sample photos."""
    found: dict[str, Inputs] = {name: [] for name in parts}

    def recorded(name: str) -> Part:
        def run(*given: np.ndarray) -> np.ndarray:
            found[name].append(dict(zip(("photo", "painting"), given, strict=False)))
            return parts[name](*given)

        return run

    paint = by_parts({name: recorded(name) for name in parts}, draft_size)
    for path in some_photos(PHOTOS, CALIBRATED):
        paint(photo_of(path, 512))
    return found


def quantized(files: dict[str, Path], draft_size: float) -> dict[str, dict[str, Path]]:
    """The way of quantization -> its files."""
    fp32 = {name: by_onnxruntime(path) for name, path in files.items()}
    samples = inputs_of(fp32, draft_size)
    made: dict[str, dict[str, Path]] = {DYNAMIC: {}, STATIC: {}}
    for name, path in files.items():
        simple, dynamic, static = (path.with_suffix(f".{number}") for number in range(3))
        quant_pre_process(path, simple, skip_symbolic_shape=True)  # it knows no free sizes
        quantize_dynamic(simple, dynamic, weight_type=QuantType.QUInt8)
        reader = Samples(samples[name])
        quantize_static(simple, static, reader, op_types_to_quantize=["Conv"], per_channel=True)
        made[DYNAMIC][name], made[STATIC][name] = dynamic, static
    return made


def ways(style: str, folder: Path) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    for name, dtype in OURS.items():
        yield name, ready(load_network(find_style(style))[0], Compute(CPU, dtype))
    for _ in export(style, folder):
        pass
    draft_size = load_network(find_style(style))[1].network.draft_size
    files = {name: next(folder.glob(f"*.{name}.onnx")) for name in PARTS}
    int8 = quantized(files, draft_size)
    for name, paths in {"fp32": files, **int8}.items():
        parts = {part: by_onnxruntime(path) for part, path in paths.items()}
        yield f"ONNX Runtime, {name}", by_parts(parts, draft_size)
    if find_spec("openvino"):
        for name, paths in {"f32": files, "bf16": files, STATIC: int8[STATIC]}.items():
            precision = "f32" if name == "f32" else "bf16"
            parts = {part: by_openvino(path, precision) for part, path in paths.items()}
            yield f"OpenVINO, {name}", by_parts(parts, draft_size)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", default="woodblock")
    parser.add_argument("--sizes", type=int, nargs="+", default=(512, 1024))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console(width=110)
    console.print(machine(CPU))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        paints = dict(ways(options.style, Path(folder)))
        for size in options.sizes:
            photo = photo_of(COFFEE, size)
            runs = {name: partial(paint, photo) for name, paint in paints.items()}
            seconds = side_by_side(runs, options.rounds, CPU)
            exact = paints["ours, fp32"](photo)
            table = Table(f"{size} px", "median ms", "times ours, bf16", "mean difference, levels")
            for name, paint in paints.items():
                milliseconds = 1e3 * statistics.median(seconds[name])
                ratio = median_ratio(seconds[name], seconds["ours, bf16"])
                levels = 255 * float((paint(photo) - exact).abs().mean())
                table.add_row(name, f"{milliseconds:.0f}", f"{ratio:.2f}", f"{levels:.2f}")
                found = {"ms": milliseconds, "ratio": ratio, "levels": levels}
                figures[f"{name}, {size} px"] = found
            console.print(table)
    record("runtimes", CPU, figures)


if __name__ == "__main__":
    main()
