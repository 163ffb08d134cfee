"""Opening a source by its config, and recognising one by its path."""

from pathlib import Path
from typing import TypeAlias

from egan.data.annotations import some
from egan.data.array import open_array
from egan.data.avatar_pairs import open_avatar_pairs
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
    StackedDigitsConfig,
)
from egan.data.decoding import BEGINNING, READ, SUFFIXES, kind_of
from egan.data.digits import open_digits
from egan.data.emoji import open_emoji_lines, open_emoji_styles
from egan.data.gaussians import GaussianMixture, open_gaussians
from egan.data.glyphs import open_glyphs
from egan.data.held_out import divide
from egan.data.idx import is_idx, open_idx
from egan.data.images import is_image_tree, open_images
from egan.data.layout import describe_kinds
from egan.data.packed import is_packed, open_packed
from egan.data.pair_config import (
    AvatarsPartsConfig,
    EmojiLinesConfig,
    EmojiStylesConfig,
    GlyphsConfig,
    PairsConfig,
)
from egan.data.pair_files import open_pairs
from egan.data.pairs import PairSource
from egan.data.source import DataError, ImageSource, check_regular
from egan.data.stacked import open_stacked_digits

_KINDS = {
    "packed": "a packed set, which prepare wrote",
    "idx": "a set in MNIST's format",
    "cifar": "CIFAR's binary version",
    "array": "an array of images",
    "images": "a tree of image files",
}

SampleSource: TypeAlias = ImageSource | GaussianMixture
Source: TypeAlias = SampleSource | PairSource
"""What a run draws from; `kind` ("images", "points" or "pairs") tells them apart.

All have name, kind, shape, length (None: endless), labels, classes, tags, tag_names, origin,
flip, skipped, fingerprint."""


def open_source(config: DataConfig) -> Source:
    """Open what `config` names, less what is held out.

    Raises:
        DataError: the data is missing, damaged or not of that kind; the message names the file, and
            the source that fits what is there.
    """
    return _opened(config)[0]


def open_held_out(config: DataConfig) -> ImageSource:
    """Open the part of a finite source that `data.held_out` keeps from training.

    Raises:
        DataError: as `open_source`.
    """
    held_out = _opened(config)[1]
    assert held_out is not None, "the config holds nothing out"
    return held_out


def _opened(config: DataConfig) -> tuple[Source, ImageSource | None]:
    """Return a source without what is held out, and that."""
    source, count = _whole(config), getattr(config, "held_out", 0)
    return divide(source, count) if count and isinstance(source, ImageSource) else (source, None)


def _whole(config: DataConfig) -> Source:
    try:
        return _open(config)
    except DataError as error:
        raise DataError(f"{error}{_fitting(config)}") from error
    except MemoryError as error:
        raise DataError(
            f"{getattr(config, 'path', config.source)}: does not fit into memory ({error}); pack "
            "it once with the prepare command, and train on what that makes"
        ) from None


def _fitting(config: DataConfig) -> str:
    """Return the end of a sentence that names another source, where it fits what is there."""
    path = getattr(config, "path", None)
    if path is None or isinstance(config, PairsConfig):
        return ""
    try:
        found = detect_source(path)
    except DataError:
        return ""
    if found.source == config.source:
        return ""
    return f". What is there is {_KINDS[found.source]}: set data.source={found.source}"


def _open(config: DataConfig) -> Source:
    match config:
        case GaussiansConfig():
            return open_gaussians(config)
        case DigitsConfig():
            return open_digits(config)
        case StackedDigitsConfig():
            return open_stacked_digits(config)
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
        case EmojiStylesConfig():
            return open_emoji_styles(config)
        case AvatarsPartsConfig():
            return open_avatar_pairs(config)
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
    if not path.is_dir():
        check_regular(path)
    if (config := _recognised(path)) is not None:
        return config
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: is one image; name the folder or .zip that holds all of them")
    raise DataError(
        f"{path}: no images found{_instead(path)}. Looked for a folder or .zip of {READ} files, "
        "MNIST-format (IDX) files plain or .gz, CIFAR's binary version, a .npy or .npz array, and "
        "a folder that prepare wrote"
    )


def _recognised(path: Path) -> DataConfig | None:
    if is_packed(path):
        return PackedConfig(path=path)
    if is_idx(path):
        return IdxConfig(path=path)
    if (classes := is_cifar(path)) is not None:
        return CifarConfig(path=path, classes=classes)
    if path.suffix in (".npy", ".npz"):
        return ArrayConfig(path=path)
    return ImagesConfig(path=path) if is_image_tree(path) else None


def _instead(path: Path) -> str:
    """Return what lies in a folder without images: sets that could be named, or kinds of files."""
    if path.is_file():
        with path.open("rb") as file:
            return f": {kind_of(file.read(BEGINNING))}"
    entries = sorted(path.iterdir())
    if (path / "data_batch_1").is_file():
        return (
            ": this is CIFAR's Python version, which is pickle and never read; get the binary one"
        )
    sets = [entry.name for entry in entries if _is_set(entry)]
    if sets:
        return f", but {some(sets)} in it can be read: name one of them"
    files = describe_kinds(entry.name for entry in entries if entry.is_file())
    folders = [entry.name for entry in entries if entry.is_dir()]
    parts = [files, *([f"the folders {some(folders)}"] if folders else [])]
    return f"; it holds {' and '.join(filter(None, parts)) or 'nothing'}"


def _is_set(path: Path) -> bool:
    try:
        return _recognised(path) is not None
    except (DataError, OSError):
        return False
