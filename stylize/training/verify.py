"""Do styles still paint what they painted when they were trained?

A style file holds its preview: the shipped photo in that style, painted in fp32 after training.
Another version, machine or device should paint the same picture.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylize.assets import shipped, style_files
from stylize.errors import StyleFileError
from stylize.events import Event, StyleVerified
from stylize.network.architectures import build_network
from stylize.network.device import Compute
from stylize.network.mixture import singles
from stylize.network.style_file import halved, of_member
from stylize.network.style_header import StyleHeader
from stylize.photos.decoder import read_photo
from stylize.style import Style, load_style

PHOTO = "preview.png"
MOST = {"fp32": 1, "bf16": 4}  # grey levels that rounding can explain
AGAIN = "train the style again to have one"


def preview(weights: Mapping[str, Tensor], header: StyleHeader, device: torch.device) -> str:
    """The preview of a style, with its weights rounded as in its file: a base64 PNG."""
    network = build_network(header.network)
    network.load_state_dict({key: halved(weight).float() for key, weight in weights.items()})
    content = io.BytesIO()
    _paint(Style(network, header, Compute(device, torch.float32))).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def with_previews(
    header: StyleHeader, weights: Mapping[str, Tensor], device: torch.device
) -> StyleHeader:
    """The header with the preview of its style, or of each style in a set."""
    if not header.styles:
        return replace(header, preview=preview(weights, header, device))
    single = [
        replace(style, preview=preview(of_member(weights, number), style, device))
        for number, style in enumerate(header.styles)
    ]
    return replace(header, styles=single)


def verify(
    styles: Sequence[str] = (), device: str = "auto", precision: str = "auto"
) -> Iterator[Event]:
    """Compare each style (default: all) with its preview; yields `Backend` and `StyleVerified`.

    A style that cannot be read or has no preview is reported and does not stop the others.

    Raises:
        StyleFileError: there is no style of a given name.
        DeviceError: the device, the precision or the norm backend is not available.
    """
    said = False
    for name in singles(styles or style_files()):
        try:
            style = load_style(name, device, precision)
        except StyleFileError as error:
            yield StyleVerified(name, None, None, False, str(error))
            continue
        if not said:
            said = True
            yield style.compute.describe()
        yield _compare(name, style)


def _paint(style: Style) -> Image.Image:
    return style.stylize(read_photo(shipped("models") / PHOTO).rgb)


def _compare(name: str, style: Style) -> StyleVerified:
    def failed(reason: str) -> StyleVerified:
        return StyleVerified(name, None, None, False, reason)

    if not style.header.preview:
        return failed(f"its file holds no preview; {AGAIN}")
    now = _paint(style)
    try:
        content = io.BytesIO(base64.b64decode(style.header.preview, validate=True))
        with Image.open(content, formats=["PNG"]) as picture:
            if picture.size != now.size:
                return failed(f"its preview is of another photo; {AGAIN}")
            then = picture.convert("RGB")
    except Exception:  # noqa: BLE001  Pillow raises all kinds on damaged files
        return failed(f"its preview is damaged; {AGAIN}")
    difference = np.abs(np.asarray(now, np.int16) - np.asarray(then, np.int16))
    largest, mean = int(difference.max()), float(difference.mean())
    same = largest <= MOST[style.compute.precision]
    return StyleVerified(name, largest, mean, same, "" if same else "it paints another picture")
