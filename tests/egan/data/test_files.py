"""IDX, CIFAR and array files: read right, or refused by name."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from egan.data import DataError, detect_source, open_source
from egan.data.config import ArrayConfig, CifarConfig, IdxConfig

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 7), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 3, 2, 1], np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_mnist(folder, *, zipped=False, prefix="", separator="-"):
    for part, shift in (("train", 0), ("t10k", 1)):
        for kind, array in (("images-idx3", IMAGES + shift), ("labels-idx1", LABELS)):
            name = f"{prefix}{part}-{kind}-ubyte".replace("-idx", f"{separator}idx")
            content = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("separator", ["-", "."])
def test_an_idx_folder_is_read(tmp_path, zipped, separator):
    write_mnist(tmp_path, zipped=zipped, separator=separator)
    assert detect_source(tmp_path) == IdxConfig(path=tmp_path)
    train = open_source(IdxConfig(path=tmp_path))
    test = open_source(IdxConfig(path=tmp_path, split="test"))
    assert np.array_equal(train.images[:, 0], IMAGES)
    assert np.array_equal(test.images[:, 0], IMAGES + 1)
    assert train.labels.tolist() == LABELS.tolist()
    assert open_source(IdxConfig(path=tmp_path, resolution=16)).shape == (1, 16, 16)


def test_an_idx_file_is_read_with_the_labels_beside_it_or_none(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    assert detect_source(path) == IdxConfig(path=path)
    assert open_source(IdxConfig(path=path)).labels.tolist() == LABELS.tolist()
    alone = tmp_path / "own.idx"
    alone.write_bytes(idx_bytes(IMAGES))
    assert open_source(detect_source(alone)).labels is None


def test_emnist_is_turned_upright_and_several_sets_are_an_error(tmp_path):
    write_mnist(tmp_path, prefix="emnist-letters-", zipped=True)
    assert np.array_equal(
        open_source(IdxConfig(path=tmp_path)).images[:, 0], IMAGES.transpose(0, 2, 1)
    )
    write_mnist(tmp_path, prefix="emnist-digits-")
    with pytest.raises(DataError, match=r"several.*digits.*letters.*data\.path"):
        open_source(IdxConfig(path=tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"GIF89a", "not an IDX file"),
        (idx_bytes(IMAGES)[:9], "truncated within the header"),
        (idx_bytes(IMAGES)[:-1], "truncated"),
        (idx_bytes(IMAGES) + b"x", "damaged"),
        (idx_bytes(IMAGES[:0]), "holds nothing"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "damaged or truncated"),
        (gzip.compress(bytes([0, 0, 8, 3]) + b"\xff" * 12, mtime=0), "can hold"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-20], "truncated"),
        (gzip.compress(idx_bytes(IMAGES)[:-1], mtime=0), "fewer"),
        (gzip.compress(idx_bytes(IMAGES) + b"x", mtime=0), "more"),
        (idx_bytes(LABELS), "not an IDX file of images"),
    ],
)
def test_a_bad_idx_file_is_named_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path.name}: .*{message}"):
        open_source(IdxConfig(path=path))


def test_labels_must_match_the_images(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[:-1]))
    with pytest.raises(DataError, match="5 labels for the 6 images"):
        open_source(IdxConfig(path=tmp_path))


def test_a_folder_without_the_split_is_named(tmp_path):
    with pytest.raises(DataError, match="no train-images-idx3"):
        open_source(IdxConfig(path=tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        open_source(IdxConfig(path=tmp_path / "absent"))


def write_cifar(folder, classes):
    pixels = RNG.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    labels = np.array([0, 9, 5, 3] if classes == 10 else [0, 99, 50, 10], np.uint8)
    columns = [labels[:, None], pixels.reshape(4, -1)]
    if classes == 100:
        columns.insert(0, np.full((4, 1), 19, np.uint8))  # the coarse label
    content = np.concatenate(columns, axis=1).tobytes()
    names = (
        [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
        if classes == 10
        else ["train.bin", "test.bin"]
    )
    for name in names:
        (folder / name).write_bytes(content)
    return pixels, labels


def test_cifar10_is_read(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    pixels, labels = write_cifar(folder, 10)
    (folder / "batches.meta.txt").write_text("a b c d e f g h i j\n\n")
    for path in (folder, tmp_path):
        assert detect_source(path) == CifarConfig(path=path)
        source = open_source(CifarConfig(path=path))
        assert np.array_equal(source.images, np.tile(pixels, (5, 1, 1, 1)))
        assert source.labels.tolist() == labels.tolist() * 5
        assert source.classes == tuple("abcdefghij")
    assert len(open_source(CifarConfig(path=folder, split="test"))) == 4
    one = open_source(detect_source(folder / "data_batch_3.bin"))
    assert np.array_equal(one.images, pixels)
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_4\.bin: no such file"):
        open_source(CifarConfig(path=folder))


def test_cifar100_is_read_with_its_fine_labels(tmp_path):
    pixels, labels = write_cifar(tmp_path, 100)
    assert detect_source(tmp_path) == CifarConfig(path=tmp_path, classes=100)
    source = open_source(CifarConfig(path=tmp_path, classes=100, resolution=16))
    assert source.shape == (3, 16, 16)
    assert source.labels.tolist() == labels.tolist()
    assert np.array_equal(open_source(CifarConfig(path=tmp_path, classes=100)).images, pixels)


def test_a_bad_cifar_file_is_named(tmp_path):
    write_cifar(tmp_path, 10)
    batch = tmp_path / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"test_batch\.bin: .*truncated"):
        open_source(CifarConfig(path=tmp_path, split="test"))
    batch.write_bytes(bytes([10]) * 3073)
    with pytest.raises(DataError, match="record 0 has label 10"):
        open_source(CifarConfig(path=tmp_path, split="test"))
    (tmp_path / "data_batch_1.bin").rename(tmp_path / "data_batch_1")
    with pytest.raises(DataError, match="pickle, which is never read"):
        open_source(CifarConfig(path=tmp_path))


COLOUR = RNG.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)


@pytest.mark.parametrize(
    ("stored", "images"),
    [
        (COLOUR, COLOUR),
        (np.ascontiguousarray(COLOUR.transpose(0, 2, 3, 1)), COLOUR),
        (np.asfortranarray(COLOUR), COLOUR),
        (COLOUR[:, 0], COLOUR[:, :1]),
    ],
)
def test_arrays_are_read_in_every_layout(tmp_path, stored, images):
    np.save(tmp_path / "a.npy", stored)
    np.savez_compressed(tmp_path / "b.npz", photos=stored, labels=np.arange(5, dtype=np.int32))
    plain = open_source(detect_source(tmp_path / "a.npy"))
    packed = open_source(detect_source(tmp_path / "b.npz"))
    assert np.array_equal(plain.images, images)
    assert np.array_equal(packed.images, images)
    assert isinstance(plain.images, np.memmap)
    assert packed.labels.tolist() == [0, 1, 2, 3, 4]
    assert open_source(ArrayConfig(path=tmp_path / "a.npy", resolution=4)).shape[1:] == (4, 4)


def test_the_images_key_is_found_or_asked_for(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=COLOUR, y_train=np.arange(5), x_test=COLOUR[:2], y_test=np.arange(2))
    with pytest.raises(DataError, match=r"data\.key.*x_test.*x_train"):
        open_source(ArrayConfig(path=path))
    with pytest.raises(DataError, match="no array named 'train'"):
        open_source(ArrayConfig(path=path, key="train"))
    assert open_source(ArrayConfig(path=path, key="x_test")).labels.tolist() == [0, 1]


def test_bad_arrays_are_refused_with_the_reason(tmp_path):
    def refused(array, message, **config):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(DataError, match=message):
            open_source(ArrayConfig(path=tmp_path / "a.npy", **config))

    refused(COLOUR / 255, r"uint8.*\(255 \* images\)")
    refused(COLOUR[:, :2], "1 or 3 channels")
    refused(COLOUR[0, 0], "N x H x W")
    refused(COLOUR[:, :, :, :3], "may be")
    refused(COLOUR[:0], "holds no data")
    refused(np.array([{}]), "pickled")
    refused(COLOUR, "for .npz", key="images")
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match="truncated"):
        open_source(ArrayConfig(path=tmp_path / "a.npy"))
    np.savez(tmp_path / "l.npz", images=COLOUR, labels=np.linspace(0, 1, 5))
    with pytest.raises(DataError, match="whole numbers"):
        open_source(ArrayConfig(path=tmp_path / "l.npz"))
    np.savez(tmp_path / "l.npz", images=COLOUR, labels=np.arange(4))
    with pytest.raises(DataError, match="one for each of the 5 images"):
        open_source(ArrayConfig(path=tmp_path / "l.npz"))


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    header = io.BytesIO()
    shape = (2**40, 1, 8, 8)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="truncated or damaged"):
            open_source(ArrayConfig(path=tmp_path / name))
