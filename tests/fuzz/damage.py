"""Damage to files, done with knowledge of their structure.

Bytes are flipped, cut, repeated and inserted; numbers in headers are replaced; JSON values are
replaced by strange ones and the checksums made right again, so that the damage reaches the code
behind them; names, tags, aliases and pickles are hostile. Each function takes the bytes of a sound
file and returns damaged ones, which follow from `rng` alone.
"""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import yaml

CANARY = "a-planted-command-ran"
BOMBS = (2**16, 2**20, 2**20, 2**25)  # zeros
NUMBERS = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
NAMES = ("../../etc/x", "/etc/x", "a\x1b[31m", "a\0b", "C:\\x", "..\\x", "x" * 5000, "", "\u202e")


class Planted:
    """What a pickle would run when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(CANARY),)


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with one to three pieces of damage."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = _hurt(rng, content)
    return content


def _hurt(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, min(len(content), rng.choice((40, 400, len(content)))))
    length = rng.choice((1, 2, 4, 8, 40))
    match rng.choice(("flip", "cut", "drop", "repeat", "splice", "number", "append", "zero")):
        case "flip" if at < len(content):
            return (
                content[:at] + bytes([content[at] ^ (1 << rng.randint(0, 7))]) + content[at + 1 :]
            )
        case "cut":
            return content[:at]
        case "drop":
            return content[:at] + content[at + length :]
        case "repeat":
            part = content[at : at + 16 * length]
            return content[:at] + part * rng.choice((2, 3, 100)) + content[at:]
        case "splice":
            return content[:at] + rng.randbytes(length) + content[at + length :]
        case "number":
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(NUMBERS) % 256**width
            order = rng.choice(("little", "big"))
            return content[:at] + value.to_bytes(width, order) + content[at + width :]
        case "append":
            return content + rng.randbytes(length)
        case "zero":
            return content[:at] + bytes(length) + content[at + length :]
    return content


def strange(rng: random.Random) -> Any:
    """Return a JSON value that nobody would write."""
    return rng.choice(
        (
            None, True, -1, 0, 1e308, float("nan"), float("inf"), 2**63, -(2**70), 10**300, 0.5, "",
            [], {}, [[]], [None], {"": None}, "x" * 2000, [0] * 2000, {"a": {"b": {"c": [1]}}},
            *NAMES, "\ud800", [1, "a", None], deep(rng.choice((10, 500))),
        )
    )  # fmt: skip


def deep(levels: int) -> Any:
    """Return a list in a list, so many times."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def changed(rng: random.Random, value: Any) -> Any:
    """Return JSON values with one of them replaced, left out, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        match rng.choice(("inside", "inside", "inside", "drop", "rename", "add")):
            case "inside":
                return value | {key: changed(rng, value[key])}
            case "drop":
                return {k: v for k, v in value.items() if k != key}
            case "rename":
                return {(strange_name(rng) if k == key else k): v for k, v in value.items()}
            case _:
                return value | {strange_name(rng): strange(rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.choice(("inside", "inside", "drop", "repeat")):
            case "inside":
                return [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
            case "drop":
                return value[:at] + value[at + 1 :]
            case _:
                return value + [value[at]] * rng.choice((1, 50))
    return strange(rng)


def strange_name(rng: random.Random) -> str:
    """Return a key that is not the one."""
    return rng.choice((*NAMES, "name", "generation", "scoring", "__class__"))


def to_json(value: Any) -> bytes:
    """Return a value as JSON; what is not finite as Python writes it."""
    return json.dumps(value).encode()


def damaged_json(rng: random.Random, content: bytes) -> bytes:
    """Return a JSON file with a value changed, or bytes damaged."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    if rng.random() < 0.05:
        return b"[" * 100_000
    return to_json(changed(rng, json.loads(content)))


def damaged_zip(rng: random.Random, content: bytes) -> bytes:
    """Return an archive with bytes damaged, or with an entry damaged or renamed and sound sums."""
    if rng.random() < 0.4:
        return damaged(rng, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(entries))
    name, inner = entries[at]
    match rng.choice(("inside", "inside", "inside", "rename", "link", "repeat", "bomb")):
        case "inside":
            hurt = damaged_json if name.endswith(".json") else damaged
            entries[at] = (name, hurt(rng, inner))
        case "rename":
            entries[at] = (rng.choice(NAMES).replace("\0", "") + name, inner)
        case "link":
            entries[at] = (f"{name}?link", b"/etc/passwd")
        case "repeat":
            entries += [(f"{place}{name}", inner) for place in range(rng.choice((1, 50)))]
        case _:
            entries[at] = (name, inner[:200] + bytes(rng.choice(BOMBS)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inner in entries:
            info = zipfile.ZipInfo(name.removesuffix("?link"))
            info.compress_type = zipfile.ZIP_DEFLATED
            if name.endswith("?link"):
                info.external_attr = 0o120777 << 16
            archive.writestr(info, inner)
    return stream.getvalue()


def damaged_png(rng: random.Random, content: bytes) -> bytes:
    """Return a PNG file with damage inside its chunks, and their checksums right."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place = rng.randrange(len(chunks))
    kind, inner = chunks[place]
    chunks[place] = (kind, damaged(rng, inner))
    if rng.random() < 0.2:
        text = b"a\0\0" + zlib.compress(bytes(rng.choice(BOMBS)))
        chunks.insert(1, (b"zTXt", text))
    out = content[:8]
    for kind, inner in chunks:
        out += struct.pack(">I", len(inner)) + kind + inner
        out += struct.pack(">I", zlib.crc32(kind + inner))
    return out


def damaged_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Return a safetensors file with bytes damaged, or its header changed and its length right."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    match rng.choice(("change", "change", "dtype", "shape")):
        case "change":
            header = changed(rng, header)
        case kind:
            name = rng.choice([name for name in header if name != "__metadata__"])
            types = ("F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "U8", "BOOL", "C64", "X9")
            shape = [[], [0], [-1], [2**62], [1, 1, 1, 1]]
            header[name][kind] = rng.choice(types if kind == "dtype" else shape)
    written = to_json(header)
    return struct.pack("<Q", len(written)) + written + content[8 + length :]


def damaged_torch(rng: random.Random, content: bytes) -> bytes:
    """Damage torch's own format, an uncompressed .zip with a pickle in it; or a bare pickle."""
    hurt = damaged_zip if zipfile.is_zipfile(io.BytesIO(content)) else damaged
    return hurt(rng, content)


def regzipped(rng: random.Random, content: bytes) -> bytes:
    """Damage a .gz file, or what is in it; or make it a bomb."""
    match rng.choice(("file", "inside", "bomb")):
        case "file":
            return damaged(rng, content)
        case "inside":
            return gzip.compress(damaged(rng, gzip.decompress(content)))
    sizes = struct.pack(">3I", 2 ** rng.choice((4, 16)), 2**8, 2**8)
    return gzip.compress(bytes([0, 0, 8, 3]) + sizes + bytes(rng.choice(BOMBS)), 1)


YAML_PIECES = (
    "&a [*a]", f"!!python/object/apply:os.mknod [{CANARY}]", "!!timestamp x", "!!int ''",
    "!!float ''", "!!bool x", "!!binary é", "!!set {a, b}", "!!omap [a]", "0x" + "f" * 6000,
    ":".join(["1"] * 400) + ".5", ":".join(["1"] * 6000), "<<: [x]", "{<<: *a}", ".nan", "-.inf",
    "2001-01-01", "? [a]\n: b", "{[a]: b}", "!!str", "|\n  x", "'\\x1b[31m'", '"\\x1b]0;x\\a"',
)  # fmt: skip


def damaged_yaml(rng: random.Random, content: bytes) -> bytes:
    """Return a YAML file with bytes damaged, values changed, or odd pieces in it."""
    match rng.choice(("bytes", "values", "piece", "piece", "bomb", "merges", "keys")):
        case "bytes":
            return damaged(rng, content)
        case "values":
            values = changed(rng, yaml.safe_load(content))
            try:
                return yaml.safe_dump(values, sort_keys=False).encode()
            except RecursionError:  # too deep to be written in YAML's own style; JSON is YAML, too
                return json.dumps(values).encode()
        case "piece":
            lines = content.decode().splitlines()
            at = rng.randrange(len(lines))
            key = lines[at].partition(":")[0]
            lines[at] = f"{key}: {rng.choice(YAML_PIECES)}"
            return "\n".join(lines).encode()
        case "keys":
            return content + b"".join(b"k%d: 1\n" % n for n in range(30_000))
        case kind:
            levels = ["a0: &a0 {x: 1, y: 2}"]
            many = rng.choice((2, 10))
            for n in range(1, rng.choice((3, 12, 25))):
                inner = ", ".join([f"*a{n - 1}"] * many)
                levels.append(f"a{n}: &a{n} " + (f"{{<<: [{inner}]}}" if kind == "merges" else
                                                 f"[{inner}]"))  # fmt: skip
            key = rng.choice(("name", "selection", "strategies", "data", "set"))
            return "\n".join([*levels, f"{key}: *a{n}"]).encode() + b"\n" + content
