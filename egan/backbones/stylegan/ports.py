"""Weights of PyTorch ports of StyleGAN1, read into a generator of this project.

layouts.py has the layouts that are known. None has the mean of w; it is computed from latents.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.stylegan.layouts import Origin, layout_of, listed
from egan.backbones.stylegan.networks import Generator, StyleGANConfig
from egan.backbones.stylegan.styles import map_latents
from egan.state import Weights

MEAN_LATENTS = 4096
FILTER = re.compile(r"\.conv1\.[12]\.weight(_flip)?$|\.intermediate\.kernel$")
HIGHER = re.compile(r"generator\.(?:progression|to_rgb)\.(\d+)\.")


def backbone_of(
    tensors: Mapping[str, Tensor], resolution: int | None = None
) -> tuple[StyleGANConfig, tuple[int, int, int]]:
    """Return the config that a port's named tensors fit, and the shape (C, R, R) of its images.

    `resolution` is that of the generator. By default it is the highest of the file, to which a file
    of the progression layout need not have been trained.

    Raises:
        ValueError: an unknown layout, or sizes that no config has.
    """
    layout = layout_of(tensors)
    channels = {layout.side(n): t.shape[0] for n, t in _numbered(layout.conv, tensors).items()}
    mapping = [tensor for _, tensor in sorted(_numbered(layout.mapping, tensors).items())]
    rgb = tensors.get(layout.rgb(len(channels)))
    if not channels or not mapping or rgb is None or mapping[0].dim() != 2:
        raise ValueError(
            f"names that start with {layout.prefix} are there, but no whole generator: "
            f"{listed(tensors)}"
        )
    widest, highest = max(channels.values()), max(channels)
    thinner = [side for side in channels if channels[side] < widest]
    side = min(thinner, default=highest)
    config = StyleGANConfig(
        latent=mapping[0].shape[1],
        style=mapping[0].shape[0],
        mapping_layers=len(mapping),
        fmap_base=channels[side] * side // 2,
        fmap_max=widest,
    )
    wrong = [side for side, width in channels.items() if config.channels(side) != width]
    if wrong:
        raise ValueError(
            f"the channels {channels} by resolution follow no backbone.fmap_base and fmap_max"
        )
    if resolution is not None and resolution not in channels:
        raise ValueError(
            f"resolution {resolution}: the file's generator has {', '.join(map(str, channels))}"
        )
    chosen = resolution or highest
    return config, (len(rgb), chosen, chosen)


def _numbered(pattern: str, tensors: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """Return the tensors whose names fit a pattern, by the number that is its group."""
    found = ((re.fullmatch(pattern, name), tensor) for name, tensor in tensors.items())
    return {int(match[1]): tensor for match, tensor in found if match}


# ----------------------------------------------------------------------------------- reading a file


def read_port(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a generator's file: safetensors, or torch's own format.

    A training checkpoint is a mapping of networks: its averaged generator (`g_running`) is taken,
    or else `generator`. Nothing but tensors and plain containers is ever unpickled.

    Raises:
        ValueError: the file is missing, is not such a file, or holds no generator.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds
        raise ValueError(
            f"{path} is neither a safetensors file nor a state dict that torch.load reads with "
            f"weights_only=True: {error}"
        ) from error
    if isinstance(content, Mapping):
        content = content.get("g_running", content.get("generator", content))
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no mapping of names to tensors")
    others = [
        name
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
    if others:
        raise ValueError(f"{path} holds more than tensors: {listed(map(str, others))}")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


# --------------------------------------------------------------------------------------- converting


def convert(
    tensors: Mapping[str, Tensor], generator: NetworkFunction, stream: torch.Generator
) -> Weights:
    """Return a StyleGAN generator's weights from a port's named tensors (see layouts.py).

    `stream` draws the latents that the mean of w is computed from, and what the file lacks. A file
    of the progression layout may have resolutions above the generator's; they are left out.

    Raises:
        ValueError: not a StyleGAN generator, an unknown layout, missing or unknown keys, or shapes
            that are not this generator's.
    """
    module = generator.module
    if not isinstance(module, Generator):
        raise ValueError("StyleGAN weights fit a generator with backbone.name=stylegan alone")
    origins = layout_of(tensors).origins(module, tensors)
    _check_names(tensors, origins, module.resolution)
    _check_shapes(generator, origins, tensors)
    initial = generator.initialise(stream)
    values = {
        name: _converted(origins[name], tensors[origins[name].key], tensor)
        if name in origins
        else tensor
        for name, tensor in generator.named(initial.params).items()
    }
    params = torch.cat([value.flatten() for value in values.values()])
    weights = Weights(params, initial.buffers)
    with torch.no_grad():
        z = torch.randn(MEAN_LATENTS, module.mapping.latent, generator=stream)
        mean = map_latents(generator, weights, z).mean(0)
    return Weights(params, {**initial.buffers, "mapping.mean": mean})


def _converted(origin: Origin, tensor: Tensor, like: Tensor) -> Tensor:
    """Return a file's tensor as ours.

    Raises:
        ValueError: of a kind that cannot be computed with, such as a tensor without values.
    """
    try:
        if tensor.layout != torch.strided:
            raise ValueError("it is sparse")
        return origin.transform(tensor).to(like)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{origin.key} cannot be converted: {error}") from None


def _shape(origin: Origin, tensor: Tensor) -> tuple[int, ...] | None:
    """Return the shape that a file's tensor gives, None: none.

    Nothing is computed, for a view of one value may claim to be of any size.
    """
    try:
        return tuple(origin.transform(torch.empty(tensor.shape, device="meta")).shape)
    except (RuntimeError, IndexError, ArithmeticError):
        return None


def _check_names(
    tensors: Mapping[str, Tensor], origins: Mapping[str, Origin], resolution: int
) -> None:
    wanted = {origin.key for origin in origins.values()}
    if missing := sorted(wanted - tensors.keys()):
        raise ValueError(
            f"{len(missing)} of the tensors that a generator of {resolution} pixels needs are "
            f"missing: {listed(missing)}"
        )
    blocks = resolution.bit_length() - 2
    unknown = [name for name in tensors if name not in wanted and not _spare(name, blocks)]
    if unknown:
        raise ValueError(
            f"{len(unknown)} tensors do not belong to a generator of {resolution} pixels: "
            f"{listed(unknown)}"
        )


def _spare(name: str, blocks: int) -> bool:
    """Tell whether a name may be left out: a filter's constant, or a block above the resolution."""
    above = HIGHER.match(name)
    return bool(FILTER.search(name)) or (above is not None and int(above[1]) >= blocks)


def _check_shapes(
    generator: NetworkFunction, origins: Mapping[str, Origin], tensors: Mapping[str, Tensor]
) -> None:
    found = {name: _shape(origin, tensors[origin.key]) for name, origin in origins.items()}
    wrong = [
        f"{origins[name].key} gives {found[name]} for {name}, {tuple(shape)}"
        for name, shape in generator.layout
        if name in found and found[name] != tuple(shape)
    ]
    if wrong:
        raise ValueError(
            f"{len(wrong)} tensors do not fit the backbone's shapes (see backbone.fmap_base, "
            f"fmap_max, latent and style): {listed(wrong)}"
        )
