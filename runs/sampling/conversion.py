"""The `convert` command: weights of a PyTorch port of StyleGAN as a generator's folder."""

from dataclasses import dataclass
from pathlib import Path

from egan.backbones import StyleGANConfig, build_networks
from egan.backbones.stylegan.ports import backbone_of, convert, read_port
from egan.games.noise import NoiseGame
from egan.streams import Purpose, torch_stream
from runs.common.errors import ConfigError
from runs.common.files import atomic_folder
from runs.sampling.generators import write_generator
from runs.sampling.sampler import Sampler

SEED = 0  # of the latents that the mean of w is computed from


@dataclass(frozen=True)
class Converted:
    """What was written: the backbone that it fits, its images' shape, its parameters."""

    backbone: StyleGANConfig
    shape: tuple[int, int, int]
    parameters: int


def convert_port(weights: Path, out: Path, resolution: int | None = None) -> Converted:
    """Write the folder of a generator from a port's file; `evaluate` and the like take it.

    Args:
        weights: the file; see `egan.backbones.stylegan.ports`.
        out: the folder, which must not be there yet, or be empty.
        resolution: of the generator; None: the highest of the file.

    Raises:
        ConfigError: the file is no such generator, or the folder is in use; nothing was written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: it is there already, and not empty; choose another folder")
    try:
        tensors = read_port(weights)
        backbone, shape = backbone_of(tensors, resolution)
        networks = build_networks(backbone, shape)
        stream = torch_stream(SEED, 0, Purpose.INITIALISE)
        converted = convert(tensors, networks.generator, stream)
    except ValueError as error:
        raise ConfigError(f"convert: {error}") from None
    sampler = Sampler(NoiseGame(networks), {"generator": converted}, shape)
    with atomic_folder(out) as temporary:
        write_generator(temporary, backbone, sampler)
    return Converted(backbone, shape, networks.generator.parameters)
