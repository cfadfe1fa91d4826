"""How good are the pictures? A judge that is not the training loss.

    python bench/pictures.py PHOTOS --pictures FOLDER [FOLDER ...] [--styles STYLE ...] [--count 16]

Every style paints every photo; result, photo and style picture are compared with a short side of
512 px. VGG-16 layers are ones that training does not use: relu2_1, relu3_2, relu4_2.

- style: sliced Wasserstein distance (Rabin et al. 2011) of VGG features to the style picture, at
  scales 1, 1/2 and 1/4. 1 is the photo's distance, 0 that of two random halves of the picture.
- coverage: are the large forms there? Mean cosine distance from each feature of the style picture,
  at scale 1/4, to the nearest one of the result. 1 is the photo's, 0 the style picture's own.
- colour: sliced Wasserstein distance of Oklab pixels at scale 1/8. 1 is the photo's distance.
- chroma, contrast: mean chroma and standard deviation of lightness, over the style picture's.
- strokes: mean absolute difference, in octaves of energy, of the shares of Laplacian bands in the
  lightness of result and style picture (Burt & Adelson 1983).
- weave: the highest local maximum of the autocorrelation of fine lightness at lags of 4 to 32 px,
  median over windows of 128 px, minus the style picture's. A regular texture has 1, noise 0.
- content: self-similarity (Kolkin et al. 2019, STROTSS, section 3.2): mean absolute difference of
  the normalised cosine distances between all features (relu3_2, scale 1/4) of photo and result.
- structure: CFSD (Chung et al. 2024, StyleID): Kullback-Leibler divergence between the softmax of
  each feature's similarities in the photo and in the result (cosine similarities, times 10).
- white: how uneven white ground is, for photos on white: Oklab distance (times 100) that 95 % of
  cells of 16 px, away from the product, keep to their median.

Three controls stand in the same table: the photo itself, the photo with the colours of the style
picture (mean and covariance in Oklab), and the style picture in place of the result. The exit code
is 1 unless each is worse than the median style where it must be: the first two in style, the last
in content.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import by_digest, machine, record, some_photos
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage
from torch import Tensor

from stylize.assets import shipped, style_files
from stylize.network.device import choose
from stylize.objective.vgg import VGG16Features, load_vgg16
from stylize.photos.color import from_linear, oklab_to_linear, to_oklab
from stylize.photos.decoder import read_photo
from stylize.photos.masks import flat_background
from stylize.photos.photo import Photo, to_tensor, with_short_side
from stylize.style import load_style

SHORT = 512  # pixels
LAYERS = ("relu2_1", "relu3_2", "relu4_2")
SCALES = (1, 2, 4)
FEATURES, DIRECTIONS = 2048, 64  # of a sliced Wasserstein distance
WINDOW, LAGS = 128, (4, 32)  # pixels
BANDS = 6
SHARPNESS = 10.0  # of the softmax in CFSD
CELL, CLEAR, WHITE = 16, 32, 0.93  # pixels, pixels from the product, lightness
MEASURES = (
    *("style", "coverage", "colour", "chroma", "contrast"),
    *("strokes", "weave", "content", "structure", "white"),
)
PHOTO, RECOLOURED, PICTURE = "(the photo)", "(in its colours)", "(the style picture)"


def sliced_distance(one: Tensor, other: Tensor, seed: int = 0) -> float:
    """Sliced Wasserstein-1 distance of two sets of vectors, (N, C) and (M, C).

    Distances along each direction are divided by the deviation of `other`.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(one.shape[1], DIRECTIONS, generator=generator)
    directions = F.normalize(directions, dim=0)
    levels = (torch.arange(FEATURES) + 0.5) / FEATURES
    ours, theirs = (
        torch.quantile(sample(each, generator) @ directions, levels, dim=0) for each in (one, other)
    )
    spread = theirs.std(dim=0).clamp_min(1e-6)
    return float(((ours - theirs).abs().mean(dim=0) / spread).mean())


def sample(vectors: Tensor, generator: torch.Generator) -> Tensor:
    """At most FEATURES of them."""
    if len(vectors) <= FEATURES:
        return vectors
    return vectors[torch.randperm(len(vectors), generator=generator)[:FEATURES]]


def nearest_distance(target: Tensor, found: Tensor) -> float:
    """Mean cosine distance from each vector of `target` to the nearest one of `found`."""
    similarity = F.normalize(target, dim=1) @ F.normalize(found, dim=1).T
    return float((1 - similarity.amax(dim=1)).clamp_min(0).mean())


def weave(lightness: Tensor) -> float:
    """The highest local maximum of the autocorrelation of (H, W) at LAGS, median over windows."""
    fine = lightness.numpy() - ndimage.gaussian_filter(lightness.numpy(), LAGS[1] / 4)
    rows, columns = (max(1, side // WINDOW) for side in fine.shape)
    peaks = []
    for row in range(rows):
        for column in range(columns):
            window = fine[
                row * WINDOW : (row + 1) * WINDOW, column * WINDOW : (column + 1) * WINDOW
            ]
            peaks.append(_peak(window - window.mean()))
    return statistics.median(peaks)


def _peak(window: np.ndarray) -> float:
    power = np.abs(np.fft.fft2(window, [2 * side for side in window.shape])) ** 2
    correlation = np.fft.fftshift(np.fft.ifft2(power).real)
    # Fewer pixels overlap at larger lags.
    reach = [side - np.abs(np.arange(-side, side)) for side in window.shape]
    overlap = np.outer(*reach)
    if power.max() < 1e-9:
        return 0.0
    correlation = correlation / np.maximum(overlap, 1) * window.size / correlation.max()
    down, across = (np.arange(-side, side) for side in window.shape)
    lag = np.hypot(down[:, None], across[None])
    local = correlation == ndimage.maximum_filter(correlation, 3)
    inside = (lag >= LAGS[0]) & (lag <= LAGS[1]) & local
    return float(max(0.0, correlation[inside].max())) if inside.any() else 0.0


def bands(lightness: Tensor) -> Tensor:
    """Logarithm (base 2) of the share of each Laplacian band in the energy of (H, W)."""
    image, energies = lightness[None, None], []
    for _ in range(BANDS):
        small = F.avg_pool2d(image, 2)
        large = F.interpolate(small, size=image.shape[-2:], mode="bilinear")
        energies.append((image - large).square().mean())
        image = small
    energy = torch.stack(energies)
    return (energy / energy.sum().clamp_min(1e-12)).clamp_min(1e-6).log2()


def self_similarity(features: Tensor) -> Tensor:
    """(N, C) -> (N, N): cosine distances, normalised to a sum of 1 in each row."""
    normal = F.normalize(features, dim=1)
    distance = (1 - normal @ normal.T).clamp_min(0)
    return distance / distance.sum(dim=1, keepdim=True).clamp_min(1e-9)


def structure_divergence(photo: Tensor, result: Tensor) -> float:
    """Kullback-Leibler divergence of the feature similarities of `result`, (N, C), from `photo`."""
    ours, theirs = (
        F.log_softmax(SHARPNESS * normal @ normal.T, dim=1)
        for normal in (F.normalize(each, dim=1) for each in (result, photo))
    )
    return float((theirs.exp() * (theirs - ours)).sum(dim=1).mean())


def in_colours(photo: Tensor, picture: Tensor) -> Tensor:
    """The photo with the mean and covariance of the picture's Oklab pixels: (1, 3, H, W)."""
    ours, theirs = (to_oklab(each)[0].flatten(1).double() for each in (photo, picture))
    roots = []
    for values in (ours, theirs):
        covariance = torch.cov(values) + 1e-8 * torch.eye(3, dtype=torch.float64)
        vectors, scales, _ = torch.linalg.svd(covariance)
        roots.append(vectors @ torch.diag(scales.sqrt()) @ vectors.T)
    whitened = torch.linalg.inv(roots[0]) @ (ours - ours.mean(1, keepdim=True))
    lab = (roots[1] @ whitened + theirs.mean(1, keepdim=True)).float().view_as(photo)
    return from_linear(oklab_to_linear(lab))


class Seen:
    """What the judge sees of one picture."""

    def __init__(self, image: Tensor, vgg: VGG16Features, scales: tuple[int, ...] = SCALES) -> None:
        self.image = image
        self.coarsest = scales[-1]
        self.features: dict[tuple[str, int], Tensor] = {}
        for scale in scales:
            small = F.avg_pool2d(image, scale) if scale > 1 else image
            for layer, found in vgg(small, LAYERS).items():
                self.features[layer, scale] = found[0].float().flatten(1).T
        lab = to_oklab(image)[0]
        self.lightness = lab[0]
        self.chroma = float(lab[1:].norm(dim=0).mean())
        self.contrast = float(lab[0].std())
        self.pixels = F.avg_pool2d(lab, 8).flatten(1).T

    def halves(self) -> float:
        """The style distance between two random halves of the picture's features."""
        found = []
        generator = torch.Generator().manual_seed(0)
        for features in self.features.values():
            mixed = features[torch.randperm(len(features), generator=generator)]
            found.append(sliced_distance(*mixed.chunk(2)))
        return statistics.fmean(found)


def style_distance(one: Seen, picture: Seen) -> float:
    return statistics.fmean(
        sliced_distance(features, picture.features[key]) for key, features in one.features.items()
    )


def coverage(picture: Seen, one: Seen) -> float:
    keys = [(layer, picture.coarsest) for layer in LAYERS[1:]]
    return statistics.fmean(nearest_distance(picture.features[k], one.features[k]) for k in keys)


def judge(result: Seen, photo: Seen, picture: Seen, ground: Tensor | None) -> dict[str, float]:
    """All measures of one result; `ground` is (H, W), true on white far from the product."""
    floor = picture.halves()
    coarse = (LAYERS[1], photo.coarsest)
    ours, theirs = (self_similarity(each.features[coarse]) for each in (result, photo))
    far = style_distance(photo, picture) - floor
    found = {
        "style": (style_distance(result, picture) - floor) / max(far, 1e-6),
        "coverage": coverage(picture, result) / max(coverage(picture, photo), 1e-6),
        "colour": sliced_distance(result.pixels, picture.pixels)
        / max(sliced_distance(photo.pixels, picture.pixels), 1e-6),
        "chroma": result.chroma / max(picture.chroma, 1e-6),
        "contrast": result.contrast / max(picture.contrast, 1e-6),
        "strokes": float((bands(result.lightness) - bands(picture.lightness)).abs().mean()),
        "weave": weave(result.lightness) - weave(picture.lightness),
        "structure": structure_divergence(photo.features[coarse], result.features[coarse]),
    }
    if ours.shape == theirs.shape:
        found["content"] = float((ours - theirs).abs().sum(dim=1).mean())
    if ground is not None:
        found["white"] = unevenness(result.image, ground)
    return found


def unevenness(image: Tensor, ground: Tensor) -> float:
    cells = F.avg_pool2d(to_oklab(image), CELL)[0]
    whole = F.avg_pool2d(ground[None, None].float(), CELL)[0, 0] == 1
    colours = cells[:, whole].T
    return 100 * float((colours - colours.median(dim=0).values).norm(dim=1).quantile(0.95))


def white_ground(photo: Image.Image) -> Tensor | None:
    """Where the photo is plain white, away from its product; None unless that is a good part."""
    mask = flat_background(photo)
    if mask is None:
        return None
    empty = np.asarray(mask) == 0
    if to_oklab(to_tensor(photo)[None])[0, 0].numpy()[empty].mean() < WHITE:
        return None
    far = ndimage.minimum_filter(empty, 2 * CLEAR + 1)
    return torch.from_numpy(far) if far.mean() > 0.1 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--styles", nargs="+", default=[])
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    compute = choose("cpu")
    console = Console(width=130)
    console.print(machine(compute.device))
    samples = shipped("models").parent / "samples" / "styles"
    known = by_digest([samples, *options.pictures])
    vgg = load_vgg16("shipped", LAYERS)
    paths = [p for folder in options.photos for p in some_photos(folder, options.count)]
    share = max(1, len(paths) // options.count)
    photos = [with_short_side(read_photo(p).rgb, SHORT) for p in paths[::share][: options.count]]
    names = options.styles or [
        name for name, path in style_files().items() if path.parent == shipped("models")
    ]
    rows: dict[str, dict[str, float]] = {}
    controls: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with torch.inference_mode():
        seen = [Seen(to_tensor(photo)[None], vgg) for photo in photos]
        grounds = [white_ground(photo) for photo in photos]
        for name in names:
            style = load_style(name, "cpu")
            path = known.get(style.header.pictures[0].sha256)
            if path is None:
                console.print(f"{name}: its picture is in none of the folders of --pictures")
                continue
            painting = with_short_side(read_photo(path).rgb, SHORT)
            picture = Seen(to_tensor(painting)[None], vgg)
            found: dict[str, list[float]] = defaultdict(list)
            jobs = list(zip(photos, seen, grounds, strict=True))
            for photo, look, ground in track(jobs, name, console=console, transient=True):
                painted = style.stylize_photos([Photo(photo)])[0].convert("RGB")
                tried = {
                    "": to_tensor(painted)[None],
                    RECOLOURED: in_colours(look.image, picture.image),
                    PICTURE: to_tensor(painting.resize(photo.size))[None],
                }
                for kind, image in tried.items():
                    places = found if not kind else controls[kind]
                    for key, value in judge(Seen(image, vgg), look, picture, ground).items():
                        places[key].append(value)
                for key, value in judge(look, look, picture, ground).items():
                    controls[PHOTO][key].append(value)
            rows[name] = {key: statistics.median(values) for key, values in found.items()}
    for kind, values in controls.items():
        rows[kind] = {key: statistics.median(each) for key, each in values.items()}
    table = Table("style", *MEASURES)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.2f}" if key in row else "" for key in MEASURES))
    console.print(table)
    record("pictures", compute.device, {"photos": len(photos), "rows": rows})
    sys.exit(0 if controls_hold(rows) else 1)


def controls_hold(rows: dict[str, dict[str, float]]) -> bool:
    """Whether each control is worse than the median style where it must be."""
    styles = [row for name, row in rows.items() if not name.startswith("(")]
    usual = {key: statistics.median(row[key] for row in styles) for key in ("style", "content")}
    return (
        min(rows[PHOTO]["style"], rows[RECOLOURED]["style"]) > usual["style"]
        and rows[PICTURE]["content"] > usual["content"]
    )


if __name__ == "__main__":
    main()
