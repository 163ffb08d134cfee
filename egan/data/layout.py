"""How a tree of images is laid out: wrapping folders, parts, classes, shards, annotations.

Folders that all images share wrap the set and mean nothing. Below them may lie parts (train, val,
test), below these the classes' folders. dataset.json and tags.csv lie beside what they name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePosixPath

import numpy as np

from egan.data.annotations import CSV, JSON, Annotations, csv_tags, json_annotations, some
from egan.data.config import ImagesConfig
from egan.data.decoding import SUFFIXES
from egan.data.source import DataError
from egan.data.trees import Tree, suffixes

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SHARD = re.compile(r"\d{5}")  # 00000, 00001, ...: how dataset_tool.py and FFHQ split large sets
_KINDS_SHOWN = 5

Folders = Mapping[str, tuple[str, ...]]  # of each image, outermost first


@dataclass(frozen=True)
class Layout:
    """Which files of a tree are the set's images, and what is known of them.

    Attributes:
        names: paths inside the tree, sorted.
        about: labels and tags, a row for each name.
        left_out: (what, how many) of all that is there and is not read.
    """

    names: list[str]
    about: Annotations
    left_out: tuple[tuple[str, int], ...]


def image_names(tree: Tree) -> list[str]:
    """Return the files of a tree that are images by their names, sorted."""
    return [name for name in tree.names if _is_image(name) and not _is_hidden(name)]


def read_layout(tree: Tree, config: ImagesConfig) -> Layout:
    """Find the images of a tree, and their labels and tags.

    Raises:
        DataError: no images; no such part; or what is there contradicts itself.
    """
    images = image_names(tree)
    if not images:
        raise DataError(f"{config.path}: no images; {_no_images(tree)}")
    left_out = _left_out(tree)
    folders = {name: PurePosixPath(name).parts[:-1] for name in images}
    depth, part_of = _parts(folders, config)
    chosen = images
    if part_of:
        folders = {name: own[depth + 1 :] for name, own in folders.items()}
        part = _chosen_part(part_of, config)
        chosen = [name for name in images if part in ("all", part_of[name])]
        others = Counter(found for found in part_of.values() if part not in ("all", found))
        left_out += [(f"images of the part {other}", n) for other, n in sorted(others.items())]
    return Layout(chosen, _annotations(tree, chosen, folders, config), tuple(left_out))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _is_annotation(name: str) -> bool:
    return PurePosixPath(name).name in (JSON, CSV)


def _no_images(tree: Tree) -> str:
    """Say what is there instead of images."""
    looked = f"looked for {', '.join(SUFFIXES)} at any depth"
    there = [name for name in tree.names if not _is_hidden(name)]
    return f"{looked}, and found {describe_kinds(there) if there else 'no files'}"


def describe_kinds(names: Iterable[str]) -> str:
    """Return how many files there are of each kind: 12 .txt, 3 .gif."""
    ordered = sorted(suffixes(names).items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {suffix or 'without a suffix'}" for suffix, count in ordered[:_KINDS_SHOWN]]
    more = len(ordered) - _KINDS_SHOWN
    return ", ".join(shown) + (f" and {more} other kinds" if more > 0 else "")


def _left_out(tree: Tree) -> list[tuple[str, int]]:
    """Count the files that are no images of the set, by why."""
    hidden = [name for name in tree.names if _is_image(name) and _is_hidden(name)]
    kinds = suffixes(
        [
            name
            for name in tree.names
            if not (_is_image(name) or _is_hidden(name) or _is_annotation(name))
        ]
    )
    found = [
        (f"{suffix or 'without a suffix'} (kind of file that is not read)", count)
        for suffix, count in sorted(kinds.items())
    ]
    if hidden:
        found.append(("hidden", len(hidden)))
    for reason in sorted({reason for reason, _ in tree.unread}):
        names = [name for why, name in tree.unread if why == reason]
        found.append((f"{reason} ({some(names)})", len(names)))
    return found


# ------------------------------------------------------------------------------------------- parts


def _parts(folders: Folders, config: ImagesConfig) -> tuple[int, dict[str, str]]:
    """Return at which depth the parts' folders lie, and which part each image is of.

    The latter is {} where there are no parts.

    Raises:
        DataError: only some of the images lie in parts, or a part is asked for and there are none.
    """
    if config.part is None and config.labels == "folders":
        return 0, {}  # a class may be called train
    shared = _shared(folders.values())
    depth = next((i for i, name in enumerate(shared) if name.lower() in PARTS), len(shared))
    tops = {name: own[depth] if len(own) > depth else "" for name, own in folders.items()}
    part_of = {name: PARTS[top.lower()] for name, top in tops.items() if top.lower() in PARTS}
    outside = [name for name in folders if name not in part_of]
    if not outside:
        return depth, part_of
    found = set(part_of.values())
    if len(found) > 1:
        raise DataError(
            f"{config.path}: has the parts {', '.join(sorted(found))}, and {len(outside)} images "
            f"beside them ({some(outside)}); move these away, or, if all the folders are "
            f"classes: {_option('labels', 'folders')}"
        )
    if config.part not in (None, "all"):
        raise DataError(
            f"{config.path}: data.part is {config.part}, but there are no parts: its folders are "
            f"{some(sorted(set(tops.values()) - {''})) or 'none'}; parts are folders named "
            f"{', '.join(PARTS)}"
        )
    return 0, {}


def _chosen_part(part_of: Mapping[str, str], config: ImagesConfig) -> str:
    there = sorted(set(part_of.values()))
    part = config.part or "train"
    if part != "all" and part not in there:
        raise DataError(
            f"{config.path}: has no part {part}, only {', '.join(there)}; choose another, such as "
            f"all ({_option('part', 'all')}), or name such a folder itself"
        )
    return part


# ---------------------------------------------------------------------------------- labels and tags


def _annotations(
    tree: Tree, chosen: list[str], folders: Folders, config: ImagesConfig
) -> Annotations:
    """Return the labels and tags of the chosen images; `folders` are those that may be classes."""
    index, tags = (_beside(tree, file, chosen) for file in (JSON, CSV))
    if config.labels == "json" and index is None:
        raise DataError(f"{tree.path}: data.labels is json, but there is no {JSON}")
    if index is not None and config.labels in (None, "json"):
        about = json_annotations(*_listing(tree, index, chosen), f"{tree.path}, {index}")
    elif config.labels == "none":
        about = Annotations(labels_from="data.labels is none")
    else:
        about = _folders_as_classes(chosen, folders, config)
    if tags is not None:
        if about.tags is not None:
            raise DataError(f"{tree.path}: both {index} and {tags} give tags; remove one")
        rows, names = csv_tags(*_listing(tree, tags, chosen), f"{tree.path}, {tags}")
        about = replace(about, tags=rows, tag_names=names, tags_from=CSV)
    return about


def _beside(tree: Tree, file: str, chosen: list[str]) -> str | None:
    """Return where an annotation of the chosen images lies: in a folder that they share.

    Raises:
        DataError: there are several, or one in a folder with only some of the images.
    """
    found = [
        name for name in tree.names if PurePosixPath(name).name == file and not _is_hidden(name)
    ]
    folders = {name: PurePosixPath(name).parent for name in found}
    serving = [name for name in found if all(_within(image, folders[name]) for image in chosen)]
    if len(serving) > 1:
        raise DataError(f"{tree.path}: both {serving[0]} and {serving[1]} are there; remove one")
    partly = [
        name
        for name in found
        if name not in serving and any(_within(image, folders[name]) for image in chosen)
    ]
    if partly:
        inside = sum(_within(image, folders[partly[0]]) for image in chosen)
        raise DataError(
            f"{tree.path}: {partly[0]} lies beside only {inside} of the {len(chosen)} images; "
            f"join such files into one {file} beside all of them"
        )
    return serving[0] if serving else None


def _listing(tree: Tree, file: str, chosen: list[str]) -> tuple[bytes, list[str], set[str]]:
    """Return an annotation's content, and the chosen and all files as it names them.

    Raises:
        DataError: it cannot be read.
    """
    try:
        content = tree.read(file)
    except Exception as error:  # zipfile raises a dozen kinds on damaged archives
        raise DataError(
            f"{tree.path}, {file}: cannot be read: {str(error) or type(error).__name__}"
        ) from error
    start = len(file) - len(PurePosixPath(file).name)
    known = {name[start:] for name in tree.names if name.startswith(file[:start])}
    return content, [name[start:] for name in chosen], known


def _option(key: str, value: str) -> str:
    """Return how a key is set where a config is read, and where there is none."""
    return f"data.{key}={value} in a config, --{key} {value} of the command prepare"


def _within(name: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(folder)


def _folders_as_classes(chosen: list[str], folders: Folders, config: ImagesConfig) -> Annotations:
    """Return the labels that the folders' names are, the same ones in every part.

    Raises:
        DataError: some images lie in folders, and others beside these.
    """
    depth = len(_shared(folders.values()))
    folder = {name: own[depth] for name, own in folders.items() if len(own) > depth}
    classes = tuple(sorted(set(folder.values())))
    stray = [name for name in folders if name not in folder]
    if stray and (len(classes) > 1 or config.labels == "folders"):
        raise DataError(
            f"{config.path}: {len(folder)} images lie in {len(classes)} folders "
            f"({some(list(classes)) or 'none'}), and {len(stray)} beside them ({some(stray)}), so "
            "that the folders are not classes of all images; move these, or ignore labels: "
            f"{_option('labels', 'none')}"
        )
    if stray:
        some_in = f", only some of them in {classes[0]}" if classes else ""
        return Annotations(labels_from=f"the images lie in one folder{some_in}")
    if all(map(_SHARD.fullmatch, classes)) and config.labels != "folders":
        return Annotations(
            labels_from=f"the folders {some(list(classes))} look like shards, and there is no "
            f"{JSON}; to take them as classes: {_option('labels', 'folders')}"
        )
    label = {name: index for index, name in enumerate(classes)}
    labels = np.array([label[folder[name]] for name in chosen], np.int64)
    return Annotations(labels, classes, "the folders' names")


def _shared(folders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the leading folders that all files have in common."""
    first, last = min(folders), max(folders)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return tuple(name for name, _ in same)
