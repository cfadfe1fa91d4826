"""Draw the style pictures that are nobody's painting: stained glass, and ink on paper.

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
LAYERS = ((0.7, 0.78), (-0.5, 0.52), (1.45, 0.32), (0.1, 0.16))  # angle, tone up to which it is
STROKES = 4800  # of a layer, were all of it dark
CONTOURS = (0.3, 0.55)  # tones

Array = NDArray[np.float64]


def main() -> None:
    for name, paint, seed in (("stained-glass", stained_glass, 3), ("ink", ink, 1)):
        picture = paint(np.random.default_rng(seed), (SIDE + 2 * MARGIN) * FINE)
        picture = picture.resize((SIDE + 2 * MARGIN,) * 2, Image.Resampling.LANCZOS)
        picture = picture.crop((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE))
        picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, subsampling=0)


def field(random: np.random.Generator, cells: int, side: int) -> Array:
    """Smooth noise from 0 to 1."""
    levels = Image.fromarray((random.random((cells, cells)) * 255).astype(np.uint8))
    values = np.asarray(levels.resize((side, side), Image.Resampling.BICUBIC), float)
    return (values - values.min()) / (values.max() - values.min())


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
    tone = 0.6 * field(random, 5, side) + 0.4 * field(random, 11, side)
    tone = (tone - tone.min()) / (tone.max() - tone.min())
    bend = field(random, 4, side)
    page = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(page)
    for angle, darkness in LAYERS:
        for x, y in random.random((STROKES, 2)) * side:
            if tone[int(y), int(x)] > darkness * (0.86 + 0.2 * random.random()):
                continue
            way = angle + 0.9 * (bend[int(y), int(x)] - 0.5) + random.normal(0, 0.05)
            along = np.linspace(-0.5, 0.5, 7) * (16 + 26 * random.random()) * FINE
            aside = random.normal(0, 0.6) * FINE * (1 - np.linspace(-1, 1, 7) ** 2)
            line = np.stack(
                [
                    x + np.cos(way) * along - np.sin(way) * aside,
                    y + np.sin(way) * along + np.cos(way) * aside,
                ],
                axis=1,
            )
            width = round(FINE * (0.9 + 0.9 * random.random()))
            draw.line([*map(tuple, line)], INK, width, joint="curve")
    for level in CONTOURS:
        above = Image.fromarray(((tone > level) * 255).astype(np.uint8))
        outline = above.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.MaxFilter(2 * FINE + 1))
        page.paste(INK, mask=outline)
    return page


if __name__ == "__main__":
    main()
