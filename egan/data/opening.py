"""Opening a source by its config, and recognising one by its path."""

from pathlib import Path
from typing import TypeAlias

from egan.data.array import open_array
from egan.data.avatars import open_avatars
from egan.data.cifar import is_cifar, open_cifar
from egan.data.config import (
    ArrayConfig,
    AvatarsConfig,
    CifarConfig,
    DataConfig,
    DigitsConfig,
    GaussiansConfig,
    IdxConfig,
    ImagesConfig,
    PackedConfig,
)
from egan.data.digits import open_digits
from egan.data.emoji import open_emoji_lines
from egan.data.gaussians import GaussianMixture, open_gaussians
from egan.data.glyphs import open_glyphs
from egan.data.idx import is_idx, open_idx
from egan.data.images import has_images, open_images
from egan.data.packed import is_packed, open_packed
from egan.data.pair_config import EmojiLinesConfig, GlyphsConfig, PairsConfig
from egan.data.pair_files import open_pairs
from egan.data.pairs import PairSource
from egan.data.source import DataError, ImageSource

SampleSource: TypeAlias = ImageSource | GaussianMixture
Source: TypeAlias = SampleSource | PairSource
"""What a run draws from; `kind` ("images", "points" or "pairs") tells them apart.

All have name, kind, shape, length (None: endless), labels, classes, tags, tag_names, flip,
skipped, fingerprint."""


def open_source(config: DataConfig) -> Source:
    """Open what `config` names.

    Raises:
        DataError: the data is missing, damaged or not of that kind; the message names the file.
    """
    try:
        return _open(config)
    except MemoryError as error:
        raise DataError(
            f"{getattr(config, 'path', config.source)}: does not fit into memory ({error}); pack "
            "it once with the prepare command, and train on what that makes"
        ) from None


def _open(config: DataConfig) -> Source:
    match config:
        case GaussiansConfig():
            return open_gaussians(config)
        case DigitsConfig():
            return open_digits(config)
        case AvatarsConfig():
            return open_avatars(config)
        case IdxConfig():
            return open_idx(config)
        case CifarConfig():
            return open_cifar(config)
        case ImagesConfig():
            return open_images(config)
        case ArrayConfig():
            return open_array(config)
        case PackedConfig():
            return open_packed(config)
        case PairsConfig():
            return open_pairs(config)
        case EmojiLinesConfig():
            return open_emoji_lines(config)
        case GlyphsConfig():
            return open_glyphs(config)


def detect_source(path: Path | str) -> DataConfig:
    """Return the config that opens what lies at `path`, told by names and first bytes.

    Raises:
        DataError: nothing there, or nothing that a source can read.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if is_packed(path):
        return PackedConfig(path=path)
    if is_idx(path):
        return IdxConfig(path=path)
    if (classes := is_cifar(path)) is not None:
        return CifarConfig(path=path, classes=classes)
    if path.suffix in (".npy", ".npz"):
        return ArrayConfig(path=path)
    if has_images(path):
        return ImagesConfig(path=path)
    raise DataError(
        f"{path}: no images found. Looked for a folder or .zip of PNG, JPEG or WebP files, "
        "MNIST-format (IDX) files plain or .gz, CIFAR's binary version, a .npy or .npz array, and "
        "a folder that prepare wrote"
    )
