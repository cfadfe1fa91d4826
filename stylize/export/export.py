"""A style -> files for other runtimes, each run and compared before it is written."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from stylize.assets import find_style, style_name
from stylize.errors import StylizeError, UsageError, install
from stylize.events import Event, FileWritten, PartChecked
from stylize.export.programs import Part, parts, trace
from stylize.files import make_folder, write_file
from stylize.network.style_file import load_network
from stylize.network.style_header import METADATA_KEY, StyleHeader

FORMATS = ("onnx", "pt2")
CHECKED = ((1, 64, 96), (3, 101, 67), (1, 200, 160))  # batch, height, width
MOST = 0.5 / 255  # of a difference, so that pictures are equal to within one grey level

Run = Callable[[Sequence[Tensor]], Tensor]


def export(
    style: str, output: Path, kind: str = "onnx", *, overwrite: bool = False
) -> Iterator[Event]:
    """Write a style as `kind`: one file `output`/NAME.KIND, or one a part, NAME.draft.KIND and so
    on, for a style that drafts. Yields a `PartChecked` for each part, then a `FileWritten` each.

    Files take and return (N, 3, H, W) in fp32, sRGB in [0, 1], for any N, H and W. The style's card
    is in the metadata: of the model (ONNX), in the extra file `stylize.json` (PyTorch).

    Raises:
        StyleFileError: there is no such style, or it is damaged.
        UsageError: `kind` is unknown, packages are missing, or a file exists and `overwrite` is
            false.
        StylizeError: the exported network paints another picture.
    """
    if kind not in FORMATS:
        raise UsageError(f"format is {kind!r}", f"choose one of {', '.join(FORMATS)}")
    if kind == "onnx":
        _need_onnx()
    path = find_style(style)
    network, header = load_network(path)
    name = style_name(path)
    found = parts(network)
    targets = [output / ".".join(filter(None, (name, part.name, kind))) for part in found]
    for target in targets:
        if target.exists() and not overwrite:
            hint = "choose another --output, or replace it with --overwrite"
            raise UsageError(f"{target} is there already", hint)
    make, load = (_to_onnx, _run_onnx) if kind == "onnx" else (_to_pt2, _run_pt2)
    contents = []
    for part in found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporter, for programmers
            contents.append(make(trace(part), part, _card(header, part, found)))
            difference = check(part, load(contents[-1]))
        yield PartChecked(part.name, difference)
    make_folder(output)
    for target, content in zip(targets, contents, strict=True):
        try:
            write_file(target, content)
        except OSError as error:
            raise UsageError(f"{target}: cannot be written ({error.strerror})") from error
        yield FileWritten(kind, target)


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError("ONNX files need onnx and onnxruntime", install("export")) from error


def _card(header: StyleHeader, part: Part, found: Sequence[Part]) -> str:
    """What the file says of itself, as JSON: the style's card, and its part among all parts."""
    pictures = [asdict(picture) for picture in header.pictures]
    for picture in pictures:
        del picture["thumbnail"]
    return json.dumps(
        {
            "name": header.name,
            "licence": header.licence,
            "pictures": pictures,
            "network": header.network.to_dict(),
            "made by": f"stylize {header.package_version}",
            "part": part.name,
            "parts": [each.name for each in found],
        },
        ensure_ascii=False,
    )


def _to_onnx(program: ExportedProgram, part: Part, card: str) -> bytes:
    import onnx_ir as ir  # onnxscript brings it

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    model = torch.onnx.export(
        program, input_names=part.inputs, output_names=["painted"], dynamo=True, verbose=False
    )
    assert model is not None  # noqa: S101 for the type checker
    graph = model.model.graph
    for value in (*graph.inputs, *graph.outputs):
        prefix = "painting_" if value.name == "painting" else ""
        value.shape = ir.Shape(("batch", 3, f"{prefix}height", f"{prefix}width"))
    model.model.metadata_props[METADATA_KEY] = card
    content: bytes = model.model_proto.SerializeToString()
    return content


def _run_onnx(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> Tensor:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(np.asarray(session.run(None, given)[0]))

    return run


def _to_pt2(program: ExportedProgram, part: Part, card: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{METADATA_KEY}.json": card})
    return buffer.getvalue()


def _run_pt2(content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()
    return lambda inputs: module(*inputs)


@torch.no_grad()
def check(part: Part, run: Run) -> float:
    """The largest difference between what `run` paints and the network's painting, in grey levels.

    Raises StylizeError: it is more than MOST.
    """
    largest = 0.0
    for size in CHECKED:
        inputs = part.example(*size)
        difference = float((run(inputs) - part.network(*inputs)).abs().max())
        if not difference <= MOST:
            what = f"the exported {part.name or 'network'} differs by {255 * difference:.2f} levels"
            raise StylizeError(f"{what}; nothing was written", "please report this")
        largest = max(largest, difference)
    return 255 * largest
