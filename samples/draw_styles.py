"""Draw the style pictures that are nobody's painting.

In all but the stained glass, light places are bare paper, so white grounds of photos stay light;
what a place looks like follows from its tone, so a network can tell what to paint where.

python samples/draw_styles.py
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).parent / "styles"
SIDE = 768  # pixels
FINE = 2  # times as large while it is drawn
MARGIN = 16  # pixels that are cut off
QUALITY = 90

PANES = 230
LEAD = 2.6  # pixels, half of its width
LEAD_COLOUR = (22, 20, 24)
BLUE, GOLD, RED, GREEN = (32, 118, 196), (240, 168, 40), (178, 22, 36), (24, 120, 72)
GLASS = (
    *((18, 62, 150), BLUE, (96, 178, 222), RED, (222, 74, 38), GOLD, (250, 216, 96), GREEN),
    *((96, 168, 74), (104, 40, 128), (236, 232, 214), (236, 232, 214)),
)
RUNS = 0.6  # of the panes have the colour of the field that they lie in

PAPER, INK = (244, 240, 230), (24, 24, 34)
# Angle of the strokes of a layer, and the share of the page, its darkest part, that they cover.
LAYERS = ((0.7, 0.42), (-0.5, 0.28), (1.45, 0.17), (0.1, 0.1))
STROKES = 3600  # of a layer, were it all over the page
BLACK = 0.05  # share of the page
CONTOURS = (0.42, 0.7)  # shares

# Share of the page, its darkest part, that a wash covers, and colours that run into each other.
WASHES = (
    (0.54, ((252, 226, 140), (250, 200, 186), (206, 196, 236), (180, 222, 240), (176, 232, 222))),
    (0.38, ((248, 184, 90), (238, 130, 140), (160, 130, 210), (100, 180, 226), (80, 200, 200))),
    (0.22, ((240, 120, 90), (214, 80, 130), (110, 110, 210), (70, 130, 210), (40, 150, 180))),
    (0.1, ((150, 70, 90), (120, 60, 120), (70, 70, 150), (50, 90, 160), (30, 90, 140))),
)
RIM = 2.5  # pixels in which paint gathers along the edge of a wash

# Share of the page, its darkest part, that dots of some colours cover; the last are the palest.
DOTS = (
    (0.18, ((24, 48, 140), (20, 80, 170), (80, 30, 120), (140, 20, 60), (10, 80, 80))),
    (0.36, ((230, 70, 60), (226, 90, 40), (40, 150, 110), (40, 120, 210), (160, 80, 170))),
    (0.55, ((250, 200, 60), (244, 150, 60), (236, 120, 130), (130, 190, 90), (110, 190, 220))),
    (2.0, ((252, 236, 190), (248, 214, 206), (206, 230, 236), (226, 236, 200))),
)
CANVAS = (253, 250, 240)
APART = 13.0  # pixels from dot to dot
CROWDED = 3.2  # dots for each square of that side
SPARSE = 0.28  # of the palest are there
MIXED = 0.35  # of the dots are of another colour than those around

Array = NDArray[np.float64]


def main() -> None:
    for name, paint, seed in (
        ("stained-glass", stained_glass, 3),
        ("ink", ink, 1),
        ("watercolour", watercolour, 5),
        ("pointillism", pointillism, 3),
    ):
        picture = paint(np.random.default_rng(seed), (SIDE + 2 * MARGIN) * FINE)
        picture = picture.resize((SIDE + 2 * MARGIN,) * 2, Image.Resampling.LANCZOS)
        picture = picture.crop((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE))
        picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, subsampling=0)


def field(random: np.random.Generator, cells: int, side: int, mode: str = "L") -> Array:
    """Smooth noise from 0 to 1, in 256 steps, or with mode "F" in none."""
    levels = Image.fromarray((random.random((cells, cells)) * 255).astype(np.uint8)).convert(mode)
    values = np.asarray(levels.resize((side, side), Image.Resampling.BICUBIC), float)
    return (values - values.min()) / (values.max() - values.min())


def octaves(random: np.random.Generator, cells: int, side: int) -> Array:
    """Noise from 0 to 1 that is rough at all sizes."""
    layers = [field(random, cells * 2**k, side, "F") / 2**k for k in range(4)]
    noise: Array = np.sum(layers, axis=0) / 1.875
    return noise


def ranked(tone: Array) -> Array:
    """For each pixel, the share of the page that is darker."""
    order: Array = np.argsort(np.argsort(tone.ravel())).reshape(tone.shape) / tone.size
    return order


def stained_glass(random: np.random.Generator, side: int) -> Image.Image:
    """Panes of coloured glass, lighter towards their middle, in lead."""
    size, figure = field(random, 5, side), field(random, 4, side)
    points: list[tuple[float, float]] = []
    while len(points) < PANES:
        x, y = random.random(2) * side
        apart = (14 + 62 * size[int(y), int(x)]) * FINE
        if all((x - a) ** 2 + (y - b) ** 2 > apart**2 for a, b in points):
            points.append((x, y))

    rows, columns = np.mgrid[:side, :side]
    first = np.full((side, side), np.inf)
    second = first.copy()
    nearest = np.zeros((side, side), int)
    for number, (x, y) in enumerate(points):
        distance = np.hypot(columns - x, rows - y)
        closer = distance < first
        second = np.where(closer, first, np.minimum(second, distance))
        first = np.where(closer, distance, first)
        nearest[closer] = number
    edge = (second - first) / 2

    colours = np.array([GLASS[index] for index in random.integers(0, len(GLASS), PANES)], float)
    for number, (x, y) in enumerate(points):
        if random.random() < RUNS:
            own = (BLUE, RED, GOLD, GREEN)[min(3, int(4 * figure[int(y), int(x)]))]
            colours[number] = np.array(own) * (0.8 + 0.4 * random.random())
    glow = 0.72 + 0.38 * np.minimum(1, edge / (26 * FINE))
    grain = 0.88 + 0.48 * field(random, 90, side) * field(random, 24, side)
    glass = colours[nearest] * (glow * grain)[..., None]
    share = np.clip((edge - LEAD * FINE) / (1.2 * FINE), 0, 1)[..., None]
    picture = glass * share + np.array(LEAD_COLOUR) * (1 - share)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def ink(random: np.random.Generator, side: int) -> Image.Image:
    """Hatching by pen: the darker, the more layers of strokes across each other."""
    tone = ranked(0.65 * field(random, 5, side) + 0.35 * field(random, 11, side))
    bend = field(random, 4, side)
    page = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(page)
    for angle, share in LAYERS:
        for x, y in random.random((STROKES, 2)) * side:
            if tone[int(y), int(x)] > share * (0.86 + 0.2 * random.random()):
                continue
            way = angle + 0.9 * (bend[int(y), int(x)] - 0.5) + random.normal(0, 0.05)
            along = np.linspace(-0.5, 0.5, 7) * (24 + 36 * random.random()) * FINE
            aside = random.normal(0, 0.6) * FINE * (1 - np.linspace(-1, 1, 7) ** 2)
            line = np.stack(
                [
                    x + np.cos(way) * along - np.sin(way) * aside,
                    y + np.sin(way) * along + np.cos(way) * aside,
                ],
                axis=1,
            )
            width = round(FINE * (1.6 + 1.6 * random.random()))
            draw.line([*map(tuple, line)], INK, width, joint="curve")
    page.paste(INK, mask=Image.fromarray(tone < BLACK))
    for share in CONTOURS:
        above = tone > share
        edge = np.zeros_like(above)
        edge[1:] |= above[1:] != above[:-1]
        edge[:, 1:] |= above[:, 1:] != above[:, :-1]
        outline = Image.fromarray((edge * 255).astype(np.uint8))
        page.paste(INK, mask=outline.filter(ImageFilter.MaxFilter(2 * FINE + 1)))
    return page


def watercolour(random: np.random.Generator, side: int) -> Image.Image:
    """Washes over each other on white paper, with paint gathered along their edges."""
    page = np.ones((side, side, 3)) * np.array((253, 252, 248)) / 255
    tone = 0.6 * field(random, 7, side, "F") + 0.4 * octaves(random, 11, side)
    run = octaves(random, 4, side) - 0.3 * ranked(tone)
    for share, colours in WASHES:
        level = ranked(tone + 0.1 * octaves(random, 14, side))
        slope = np.hypot(*np.gradient(level)) + 1e-6
        depth = (share - level) / slope  # pixels from the edge, about
        inside = np.clip(depth / (1.2 * FINE) + 0.5, 0, 1)
        rim = np.exp(-np.clip(depth, 0, None) / (RIM * FINE))
        flow, grain = octaves(random, 5, side), octaves(random, 150, side)
        pigments = np.array(colours) / 255
        hue = ranked(run + 0.12 * octaves(random, 6, side)) * len(colours) - 0.5
        first = np.clip(np.floor(hue), 0, len(colours) - 1).astype(int)
        second = np.minimum(first + 1, len(colours) - 1)
        mix = np.clip((hue - first - 0.3) / 0.4, 0, 1)[..., None]
        paint = pigments[first] * (1 - mix) + pigments[second] * mix
        density = inside * (0.3 + 0.9 * flow + 0.5 * rim + 0.35 * (grain - 0.5))
        page *= paint ** density[..., None]
    return Image.fromarray((page * 255).clip(0, 255).astype(np.uint8))


def pointillism(random: np.random.Generator, side: int) -> Image.Image:
    """Dots of pure colour on canvas, dark and close or pale and sparse."""
    tone = ranked(0.65 * field(random, 5, side, "F") + 0.35 * field(random, 11, side, "F"))
    hue = ranked(octaves(random, 3, side))
    page = Image.new("RGB", (side, side), CANVAS)
    draw = ImageDraw.Draw(page)
    for x, y in random.random((int((side / FINE / APART) ** 2 * CROWDED), 2)) * side:
        dark = tone[int(y), int(x)] + random.normal(0, 0.05)
        colours = next(colours for share, colours in DOTS if dark <= share)
        if colours is DOTS[-1][1] and random.random() > SPARSE:
            continue
        index = int(hue[int(y), int(x)] * len(colours))
        if random.random() < MIXED:
            index = int(random.integers(len(colours)))
        radius = APART * FINE * (0.4 + 0.14 * random.random())
        colour = np.array(colours[index]) + random.normal(0, 6, 3)
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            tuple(int(value) for value in colour.clip(0, 255)),
        )
    return page


if __name__ == "__main__":
    main()
