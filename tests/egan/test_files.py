"""Files that are whole or not there, and as readable as any other."""

import hashlib
import os

import pytest
from safetensors import SafetensorError

from egan.files import atomic_file, saving_tensors, sha256


def test_a_files_hash_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert sha256(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "file"
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"), atomic_file(path) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise OSError("disk full")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_tensors_has_the_mode_of_a_new_file(tmp_path):
    path = tmp_path / "a.safetensors"
    before = os.umask(0o026)
    try:
        with saving_tensors(path):
            path.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors makes it
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_full_disk_is_called_so_by_safetensors_too(tmp_path):
    message = r"a\.safetensors: I/O error: No space left"
    with pytest.raises(OSError, match=message), saving_tensors(tmp_path / "a.safetensors"):
        raise SafetensorError("I/O error: No space left on device")
