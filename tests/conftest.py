"""Shared material: small pictures drawn from a seed, and a small untrained style."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # as many as there are cores, with one thread each
    os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.config import NetworkConfig, TrainConfig
from stylize.network.architectures import build_network
from stylize.network.conditional_norm import norm_names
from stylize.network.instance_norm import ops
from stylize.network.style_file import load_network, of_set, save_style
from stylize.network.style_header import StyleHeader, StylePicture

ROOT = Path(__file__).parent.parent
DEVICE = torch.device(
    os.environ.get("STYLIZE_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
)
torch.backends.cudnn.allow_tf32 = False  # a GPU's fp32 is compared to the last digits
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # kernels run on the CPU; read when triton is imported
TINY = NetworkConfig(
    architecture="quarter",
    channels=8,
    body_channels=8,
    blocks=1,
    head_channels=8,
    noise_channels=1,
    draft_size=32,
    reviser_channels=8,
    reviser_body_channels=8,
    reviser_blocks=1,
    reviser_head_channels=8,
    reviser_detail_channels=8,
    finisher_channels=8,
    finisher_blocks=1,
    finisher_head_channels=8,
    finisher_detail_channels=8,
)
TINY_DRAFT = replace(TINY, architecture="draft-revise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of modules that compute on DEVICE."""
    for item in items:
        if isinstance(item, pytest.Function) and "DEVICE" in vars(item.module):
            item.add_marker("gpu")


def forget_the_choice() -> None:
    """Of what computes instance norm: the environment is read anew."""
    ops._wanted.cache_clear()
    ops.backend.cache_clear()


def permissions_count() -> bool:
    """Not for the superuser, unless without the right to override them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return not os.access(folder, os.W_OK)


needs_permissions = pytest.mark.skipif(
    not permissions_count(), reason="this user may read and write anywhere"
)


def draw_picture(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    """A picture with structure at several scales: enlarged random fields, added up."""
    random = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3))
    for cells in (2, 6, 16):
        field = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        levels += np.asarray(field.resize((width, height), Image.Resampling.BICUBIC), float)
    return Image.fromarray((levels / 3).astype(np.uint8))


def make_tree(root: Path) -> Path:
    """Pictures, other files, hidden ones and a loop of links; all files are empty."""
    for name in ("b.jpg", "A.PNG", "sub/c.webp", "sub/deep/d.gif", "notes.txt", ".hidden.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / ".cache").mkdir()
    (root / ".cache" / "e.jpg").touch()
    (root / "loop").symlink_to(root)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder tree with six usable photos, one of them in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index in range(5):
        draw_picture(index, 64 + 8 * index, 72).save(folder / f"photo{index}.png")
    draw_picture(5).save(folder / "more" / "photo5.jpg", quality=95)
    return folder


@pytest.fixture
def style_picture(tmp_path: Path) -> Path:
    path = tmp_path / "painting.png"
    draw_picture(100, 96, 80).save(path)
    return path


def write_style(path: Path) -> Path:
    """A small style with seeded random weights."""
    torch.manual_seed(0)
    picture = StylePicture("A Picture", "A. Painter", "1900", "public domain", "0" * 64)
    header = StyleHeader("tiny", TINY, TrainConfig(steps=100, size=256), [picture])
    save_style(path, build_network(TINY).state_dict(), header)
    return path


def write_relatives(folder: Path, *names: str) -> list[Path]:
    """Small styles that differ a little from the one of `write_style`, as if trained from it."""
    start, header = load_network(write_style(folder / "start.safetensors"))
    files = [folder / f"{name}.safetensors" for name in names]
    for seed, path in enumerate(files, start=1):
        torch.manual_seed(seed)
        weights = {k: w * (1 + 0.2 * torch.randn_like(w)) for k, w in start.state_dict().items()}
        picture = replace(header.pictures[0], title=f"Picture {seed}")
        own = replace(header, name=path.stem, pictures=[picture], licence=f"Licence {seed}")
        save_style(path, weights, own)
    return files


def write_set(path: Path, *names: str) -> Path:
    """A set of small styles: their norms differ a little."""
    start, header = load_network(write_style(path.with_name("start.safetensors")))
    weights, norms = start.state_dict(), []
    for seed, _ in enumerate(names, start=1):
        torch.manual_seed(seed)
        own = {name: weights[name] for name in norm_names(start)}
        norms.append({name: w * (1 + 0.2 * torch.randn_like(w)) for name, w in own.items()})
    single = [replace(header, name=name) for name in names]
    save_style(path, of_set(weights, norms), replace(header, name=path.stem, styles=single))
    return path


@pytest.fixture
def style_file(tmp_path: Path) -> Path:
    return write_style(tmp_path / "tiny.safetensors")


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server, which this process and those that it starts use for s3:// URLs."""
    from object_store import serve

    with serve() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def s3(s3_server):
    """The server without rules left by another test."""
    s3_server.rules()
    return s3_server


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not shutil.which("mount"):
        pytest.skip("needs mount")
    command = [shutil.which("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run([shutil.which("umount"), str(folder)], check=True)
