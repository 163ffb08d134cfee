"""Sources of real samples: one small config per source, distinguished by the key `source`."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from egan.data.pair_config import AvatarStyle, PairConfig

Resolution = Annotated[int, Field(ge=4, le=2048, description="side of the square image, pixels")]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tagged: ClassVar[bool] = False  # whether the samples may have tags

    condition: Literal["labels", "tags"] | None = Field(
        default=None, description="the condition of fakes: labels or tags of the data; null: none"
    )

    @field_validator("condition")
    @classmethod
    def _condition_is_there(cls, condition: str | None) -> str | None:
        if condition == "tags" and not cls.tagged:
            raise ValueError("these data have labels and no tags: set data.condition=labels")
        return condition


class _FiniteConfig(_Config):
    """A source of so many samples, of which some may be kept from training."""

    held_out: int = Field(
        default=0,
        ge=0,
        description="number of samples that are not trained on, such as those that a tournament "
        "judges with",
    )


class _FileConfig(_FiniteConfig):
    """A source that lies on disk; `wanted` says what its path must lead to."""

    wanted: ClassVar[str]

    path: Path
    flip: bool = Field(default=False, description="mirror every drawn image with probability 1/2")

    @model_validator(mode="before")
    @classmethod
    def _path_is_given(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("path") in (None, ""):
            raise ValueError(f"path is required: set data.path to {cls.wanted}")
        return values

    @field_validator("path")
    @classmethod
    def _path_is_absolute(cls, path: Path) -> Path:
        # A run is resumed, and a worker started, from another working directory.
        return path.expanduser().absolute()


class GaussiansConfig(_Config):
    """Ring of 8 or grid of 25 two-dimensional Gaussians, endless (see `egan.data.gaussians`)."""

    source: Literal["gaussians"] = "gaussians"
    modes: Literal["ring8", "grid25"] = "ring8"
    sigma: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="null: the published value"
    )


class DigitsConfig(_FiniteConfig):
    """scikit-learn's 1,797 handwritten digits, one channel; resolution None keeps 8 x 8."""

    source: Literal["digits"] = "digits"
    resolution: Resolution | None = 16
    flip: bool = Field(default=False, description="mirror every drawn image with probability 1/2")


class StackedDigitsConfig(_FiniteConfig):
    """Three of scikit-learn's digits as colours, 1,000 modes (see `egan.data.stacked`)."""

    source: Literal["stacked-digits"] = "stacked-digits"
    count: int = Field(
        default=25_600,
        ge=1,
        le=1_000_000,
        description="number of triples of digits that are drawn at random",
    )
    resolution: Resolution | None = 16


class AvatarsConfig(_FiniteConfig):
    """Colour avatars, drawn once by optional packages (see `egan.data.avatars`)."""

    tagged: ClassVar[bool] = True

    source: Literal["avatars"] = "avatars"
    style: AvatarStyle = "critters"
    count: int = Field(default=20_000, ge=1, le=1_000_000)
    resolution: Resolution = 32
    label: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]+$",
        description="the part or colour that is the label, such as hairColor or eyesVariant; "
        "null: the style's default",
    )
    flip: bool = Field(default=False, description="mirror every drawn image with probability 1/2")


class IdxConfig(_FileConfig):
    """MNIST-format files, plain or .gz: an image file, or a folder with the usual four names."""

    wanted: ClassVar[str] = (
        "an IDX image file, or to the folder that holds train-images-idx3-ubyte[.gz] and the like"
    )
    source: Literal["idx"] = "idx"
    split: Literal["train", "test"] = Field(
        default="train", description="which files to open where the path is a folder"
    )
    resolution: Resolution | None = Field(default=None, description="null: as stored")


class CifarConfig(_FileConfig):
    """The binary version of CIFAR-10 or CIFAR-100: the folder, or a single .bin file."""

    wanted: ClassVar[str] = "the folder of CIFAR's binary version (data_batch_1.bin or train.bin)"
    source: Literal["cifar"] = "cifar"
    classes: Literal[10, 100] = 10
    split: Literal["train", "test"] = Field(
        default="train", description="which files to open where the path is a folder"
    )
    resolution: Resolution | None = Field(default=None, description="null: 32")


class ImagesConfig(_FileConfig):
    """A folder tree or .zip of image files, centre-cropped and resized."""

    wanted: ClassVar[str] = "a folder or .zip of PNG, JPEG, WebP, BMP or TIFF images"
    tagged: ClassVar[bool] = True

    source: Literal["images"] = "images"
    resolution: Resolution = 64
    channels: Literal[1, 3] | None = Field(
        default=None,
        description="1 or 3: convert every file; null: as in the first file, and a file with "
        "other channels is an error",
    )
    part: Literal["train", "val", "test", "all"] | None = Field(
        default=None,
        description="the part to open where the folder holds folders for parts; null: train",
    )
    labels: Literal["json", "folders", "none"] | None = Field(
        default=None,
        description="where labels come from: dataset.json, the folders' names, or nowhere; null: "
        "as they are found, and an ambiguous folder is an error",
    )
    bits: int | None = Field(
        default=None,
        ge=8,
        le=16,
        description="number of bits that 16-bit grey images use; null: 16",
    )
    skip_bad: bool = Field(default=False, description="skip unreadable files and list them")


class ArrayConfig(_FileConfig):
    """uint8 images in a .npy or .npz file, N x H x W, N x C x H x W or N x H x W x C."""

    wanted: ClassVar[str] = "a .npy or .npz file of uint8 images"
    tagged: ClassVar[bool] = True

    source: Literal["array"] = "array"
    key: str | None = Field(
        default=None, description="name of the images' array in an .npz with several arrays"
    )
    resolution: Resolution | None = Field(default=None, description="null: as stored")


class PackedConfig(_FileConfig):
    """A folder that `prepare` wrote; opened in milliseconds and read through a memory map."""

    wanted: ClassVar[str] = "a folder that the prepare command wrote"
    tagged: ClassVar[bool] = True

    source: Literal["packed"] = "packed"


DataConfig = Annotated[
    GaussiansConfig
    | DigitsConfig
    | StackedDigitsConfig
    | AvatarsConfig
    | IdxConfig
    | CifarConfig
    | ImagesConfig
    | ArrayConfig
    | PackedConfig
    | PairConfig,
    Field(discriminator="source"),
]
