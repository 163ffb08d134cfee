"""Sources of pairs of images, or of two sets: one small config per source, as in `config`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Side = Annotated[int, Field(ge=4, le=4096)]
Size = tuple[Side, Side]  # (height, width)
Split = Literal["train", "test"]


class PairBase(BaseModel):
    """The keys that all sources of pairs share.

    What is held out judges children: else selection would reward what is learnt by heart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: None = Field(
        None, description="always null: a translator's condition is its input image"
    )
    resolution: Side | Size = Field(
        64, description="side of the images in pixels, or [height, width]"
    )
    load: Side | Size | None = Field(
        None,
        description="size in pixels to which images are resized first; each draw then crops "
        "`resolution` at a random place, the same for both images of a pair (286 for "
        "256 in the paper); null: no cropping",
    )
    flip: bool = Field(False, description="mirror each drawn pair with probability 1/2")
    split: Split = Field("train", description="the part of the data to open")
    held_out: int = Field(
        16,
        ge=0,
        description="every n-th pair is held out: it is used to evaluate children and not to "
        "train; 0: none",
    )

    @field_validator("resolution", "load", mode="after")
    @classmethod
    def _height_and_width(cls, size: "int | Size | None") -> "Size | None":
        return (size, size) if isinstance(size, int) else size

    @model_validator(mode="after")
    def _cut_from_something_larger(self) -> Self:
        if any(a < b for a, b in zip(self.stored, self.size, strict=True)):
            raise ValueError(
                f"load is {' x '.join(map(str, self.stored))}, smaller than resolution, "
                f"{' x '.join(map(str, self.size))}"
            )
        return self

    @property
    def size(self) -> Size:
        """The (height, width) of drawn images."""
        size = self.resolution
        return (size, size) if isinstance(size, int) else size

    @property
    def stored(self) -> Size:
        """The (height, width) of images at rest; a test part is never cut."""
        if self.load is None or self.split == "test":
            return self.size
        return (self.load, self.load) if isinstance(self.load, int) else self.load


Channels = Literal[1, 2, 3, 4]


class PairsConfig(PairBase):
    """Pairs of images on disk, or two sets, in the layouts of pix2pix and CycleGAN.

    `ROOT/{train,test}` with A and B side by side in each image; `ROOT/A/train` and `ROOT/B/train`
    with equal names; `ROOT/trainA` and `ROOT/trainB`, two sets; a .zip of any of these. With
    `target`, `path` and `target` are two folders that `prepare` wrote, or two arrays.
    """

    source: Literal["pairs"] = "pairs"
    path: Path
    target: Path | None = Field(
        None, description="path of B, where A and B are in separate packed folders or arrays"
    )
    aligned: bool | None = Field(
        None,
        description="true: A and B are pairs; false: two sets; null: as the layout of the folders"
        " says",
    )
    channels: Channels | None = Field(
        None, description="channels of A: convert every image; null: 1 or 3, as in the first one"
    )
    target_channels: Channels | None = Field(None, description="channels of B, likewise")
    skip_bad: bool = Field(False, description="skip unusable pairs and list them")

    @model_validator(mode="before")
    @classmethod
    def _path_is_given(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("path") in (None, ""):
            raise ValueError(
                "path is required: set data.path to a folder or .zip with A and B side by side in "
                "train/, with A/train and B/train, or with trainA and trainB"
            )
        return values

    @field_validator("path", "target")
    @classmethod
    def _path_is_absolute(cls, path: Path | None) -> Path | None:
        # A run is resumed, and a worker started, from another working directory.
        return None if path is None else path.expanduser().absolute()


class EmojiLinesConfig(PairBase):
    """Line drawings and the same emoji in colour, 1,594 pairs (see `egan.data.emoji`)."""

    source: Literal["emoji-lines"] = "emoji-lines"
    aligned: bool = Field(True, description="true: pairs; false: two sets, of different emoji")


class EmojiStylesConfig(PairBase):
    """The same emoji as two artists draw them, 1,594 of each (see `egan.data.emoji`)."""

    source: Literal["emoji-styles"] = "emoji-styles"
    aligned: bool = Field(False, description="false: two sets, of different emoji; true: pairs")


AvatarStyle = Literal["critters", "landscape", "pixel-art", "planets"]


class AvatarsPartsConfig(PairBase):
    """Masks of avatars' parts, a colour for each part, and the avatars (see `avatar_pairs`)."""

    source: Literal["avatars-parts"] = "avatars-parts"
    style: AvatarStyle = "landscape"
    count: int = Field(
        4000, ge=32, le=1_000_000, description="number of avatars; every 8th is in the test part"
    )
    aligned: bool = Field(True, description="true: pairs; false: two sets, of different avatars")

    @field_validator("resolution", "load", mode="after")
    @classmethod
    def _square(cls, size: Size | None) -> Size | None:
        if size is not None and size[0] != size[1]:
            raise ValueError(f"avatars are drawn as squares, not {size[0]} x {size[1]}")
        return size


class GlyphsConfig(PairBase):
    """Letters in two of matplotlib's fonts (see `egan.data.glyphs`); small, for tests."""

    source: Literal["glyphs"] = "glyphs"
    resolution: Side | Size = 32
    fonts: tuple[str, str] = Field(
        ("DejaVuSans", "DejaVuSerif-Bold"),
        description="the fonts of A and of B, from those that matplotlib brings",
    )
    count: int = Field(
        1024, ge=32, le=3000, description="number of letters; every 8th is in the test part"
    )
    aligned: bool = Field(True, description="true: pairs; false: two sets, of different letters")


PairConfig = PairsConfig | EmojiLinesConfig | EmojiStylesConfig | AvatarsPartsConfig | GlyphsConfig
