"""What a training starts from: random weights, a style, or a style for each picture of a set."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from torch import Tensor

from stylize.assets import (
    BASE,
    check_name,
    find_base,
    find_named_base,
    split_member,
    split_styles,
    style_name,
)
from stylize.config import AUTO, NetworkConfig, TrainConfig
from stylize.errors import UsageError
from stylize.network.mixture import Part
from stylize.network.style_file import load_network
from stylize.network.style_header import StyleHeader, StylePicture


@dataclass(frozen=True)
class Start:
    """`parts` are the styles, `weights` those of their networks, in the same order: none, one for
    all pictures, or one for each. `pictures` are those they have learned from, by their digests."""

    parts: tuple[Part, ...]
    weights: tuple[Mapping[str, Tensor], ...]
    pictures: Mapping[str, StylePicture]

    @classmethod
    def find(cls, config: TrainConfig, network: NetworkConfig, name: str, pictures: int) -> Self:
        """For a training of that name and number of pictures.

        Raises:
            StyleFileError: a style is missing or damaged.
            UsageError: a style cannot be started from, or there are too few for the pictures.
        """
        parts = _parts(config, network, name)
        if len(parts) == 1 and config.many and not parts[0].member:
            members = parts[0].header().members
            if len(members) == pictures:
                parts = [Part(parts[0].path, member) for member in members]
        if len(parts) > 1 and len(parts) != pictures:
            hint = "give one, or one for each"
            raise UsageError(f"{len(parts)} starts for {pictures} pictures", hint)
        weights, known = [], {}
        for part in parts:
            loaded, header = load_network(part.path, part.member)
            if replace(header.network, draft_size=network.draft_size) != network:
                raise UsageError(f"{part} is a network of another shape", "use --from scratch")
            if config.only_norm and header.training.only_norm:
                raise UsageError(f"{part} needs a base itself", "start from that base")
            weights.append(loaded.state_dict())
            known.update({picture.sha256: picture for picture in header.pictures})
        return cls(tuple(parts), tuple(weights), known)

    @property
    def files(self) -> list[Path]:
        return [part.path for part in self.parts]

    @property
    def name(self) -> str:
        """For `TrainConfig.base`: empty for random weights."""
        names = (":".join(filter(None, (part.path.stem, part.member))) for part in self.parts)
        return ",".join(names)

    @property
    def sha256(self) -> str:
        """The digest of what is started from; empty for random weights."""
        digests = [part.digest() for part in self.parts]
        whole = hashlib.sha256("".join(digests).encode()).hexdigest()
        return whole if len(digests) > 1 else "".join(digests)

    def header(
        self,
        name: str,
        network: NetworkConfig,
        config: TrainConfig,
        pictures: Sequence[StylePicture],
        paths: Sequence[Path],
    ) -> StyleHeader:
        """Of the training of that name, from these pictures in `paths`.

        Raises UsageError: names of styles in a set are not valid, or the same.
        """
        header = StyleHeader(name, network, config, list(pictures), base_sha256=self.sha256)
        if not config.many:
            return header
        of_each = zip(self._names(paths), pictures, strict=True)
        single = [replace(header, name=each, pictures=[picture]) for each, picture in of_each]
        return replace(header, styles=single)

    def _names(self, paths: Sequence[Path]) -> list[str]:
        """Of the styles in a set: those of their starts, or else of the pictures."""
        if len(self.parts) == len(paths) > 1:
            names = [part.member or style_name(part.path) for part in self.parts]
        else:
            names = [re.sub(r"[^a-z0-9._-]", "-", path.stem.lower()) for path in paths]
        for name in map(check_name, names):
            if names.count(name) > 1:
                raise UsageError(f"two styles of the set are called {name}", "rename a picture")
        return names


def _parts(config: TrainConfig, network: NetworkConfig, name: str) -> list[Part]:
    base = config.base
    if base == AUTO:
        base = BASE if network == NetworkConfig() else ""
    if not base:
        return []
    if not config.many:
        if config.only_norm and base == name:
            message = f"a style of norms cannot have the name of its base, {base!r}"
            raise UsageError(message, "choose another --name")
        return [Part(find_named_base(base) if config.only_norm else find_base(base))]
    pairs = map(split_member, split_styles(base))
    return [Part(find_base(style), member) for style, member in pairs]
