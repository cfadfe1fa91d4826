"""Neural style transfer for whole folders of photos.

>>> from stylize import load_style
>>> style = load_style("woodblock")
>>> style.stylize(Image.open("photo.jpg")).save("painted.jpg")

The names below are loaded on first use, so that `import stylize` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stylize.api.style import Style, load_style, mix
    from stylize.config import ApplyConfig, NetworkConfig, TrainConfig
    from stylize.errors import StylizeError

__all__ = [
    "ApplyConfig",
    "NetworkConfig",
    "Style",
    "StylizeError",
    "TrainConfig",
    "__version__",
    "load_style",
    "mix",
]

_HOME = {
    "ApplyConfig": "config",
    "NetworkConfig": "config",
    "Style": "api.style",
    "StylizeError": "errors",
    "TrainConfig": "config",
    "load_style": "api.style",
    "mix": "api.style",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stylize' has no attribute {name!r}")
    return getattr(import_module(f"stylize.{_HOME[name]}"), name)
