"""Read the tensors of a weight file, whatever its suffix says, without running anything in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from .errors import AGAIN, MotionFileError, short, some
from .file_kinds import describe
from .pickles import check_plain, read_pickle

WRAPPERS = ("state_dict", "module")
"""Entries of a training checkpoint under which the weights are found."""

DEEPEST_NESTING = 4
"""Wrappers around wrappers that are looked through; a bound, because a pickle can contain itself."""

LONGEST_HEADER = 2**24
"""Bytes of the names and metadata of a safetensors file; those of a checkpoint of 2,500 tensors have 0.3 MB."""

EXPECTED = "Expected weights, as a .safetensors or PyTorch .ckpt file."


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file or PyTorch pickle on the CPU, and the metadata of the former.

    The content decides which of the two it is. Of a training checkpoint only the weights are returned. What a file
    takes in memory is at most a few times its size.

    Raises:
        MotionFileError: There is no such file, it is neither of the two, it is damaged, or it would run code or fill
            the memory. The message goes on from the name of the file.
    """
    if check_file(path):
        return _read_safetensors(path)
    tensors = _named_tensors(read_pickle(path))
    check_plain(tensors, path.stat().st_size)
    return tensors, {}


def tensor_names(path: Path) -> list[str]:
    """Return the names of a file's tensors; of a safetensors file without reading these.

    Raises:
        MotionFileError: As for `read_tensors`.
    """
    return list(read_metadata(path)[0]) if check_file(path) else list(read_tensors(path)[0])


def read_metadata(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of a safetensors file's tensors, and its metadata.

    Raises:
        MotionFileError: It is damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return list(file.keys()), dict(file.metadata() or {})
    except Exception as error:  # of types that this torch does not know, too
        raise _damaged(path, error) from error


def check_file(path: Path) -> bool:
    """Check a file of weights without reading them; return whether it is a safetensors file, not a PyTorch pickle.

    Raises:
        MotionFileError: As for `read_tensors`.
    """
    try:
        _check_place(path)
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise MotionFileError(f"cannot be read ({error.strerror or error}): {path}. Look at its permissions, and at "
                              "the disk that it is on.") from error
    # safetensors: eight bytes of header length, then the header, which is JSON
    header, size = int.from_bytes(head[:8], "little"), path.stat().st_size
    pickled = head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\x80"))
    if head[8:9] == b"{" and (header <= LONGEST_HEADER or not pickled):
        if header > min(size, LONGEST_HEADER):
            raise MotionFileError(f"seems to be a truncated or damaged safetensors file of {size} bytes: its header "
                                  f"claims {header} bytes, more than the file has or than {LONGEST_HEADER}. {AGAIN}")
        return True
    if not pickled:
        what, advice = describe(head)
        raise MotionFileError(f"{what}. {EXPECTED} {advice}")
    read_pickle(path, load=False)
    return False


def _check_place(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise MotionFileError(f"is a link that leads nowhere: {path} points to {os.readlink(path)}. Put the file "
                              "there, or choose another.")
    if path.is_dir():
        raise MotionFileError(f"is a folder: {path}. Choose a file in it.")
    if not path.exists():
        raise MotionFileError(f"is not there: no file at {path}. Put it there, or choose another.")
    if not path.is_file():
        raise MotionFileError(f"is a device or a pipe: {path}. {EXPECTED} Choose another.")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = file.keys()
            return {key: file.get_tensor(key) for key in keys}, dict(file.metadata() or {})
    except Exception as error:  # of types that this torch does not know, too
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> MotionFileError:
    return MotionFileError(f"seems to be a truncated or damaged safetensors file of {path.stat().st_size} bytes "
                           f"({short(error)}). {AGAIN}")


def _named_tensors(data: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, from under its wrappers; those of several networks with their names."""
    for _ in range(DEEPEST_NESTING):
        data = _unwrap(data)
    if not isinstance(data, Mapping):
        raise MotionFileError(f"holds a Python {short(type(data).__name__)}. Expected named tensors. Choose a motion "
                              "file.")
    tensors = _tensors_in(data)
    if not tensors:
        parts = {name: part for name, part in data.items() if isinstance(name, str) and isinstance(part, Mapping)}
        tensors = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in _tensors_in(part).items()}
    return tensors


def _tensors_in(data: Mapping) -> dict[str, Tensor]:
    return {key: value.detach() for key, value in data.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _unwrap(data: object) -> object:
    if not isinstance(data, Mapping):
        return data
    inner = [data[name] for name in WRAPPERS if name in data] or (list(data.values()) if len(data) == 1 else [])
    return inner[0] if inner and isinstance(inner[0], Mapping) else data


def join_names(pairs: list[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors by name.

    Raises:
        MotionFileError: Two have one name, once prefixes are gone.
    """
    tensors = dict(pairs)
    if len(tensors) < len(pairs):
        names = [name for name, _ in pairs]
        twice = [name for name in tensors if names.count(name) > 1] if len(names) < 10_000 else list(tensors)
        raise MotionFileError(f"holds {len(pairs) - len(tensors)} tensors twice, under two prefixes, such as "
                              f"{some(twice)}. {AGAIN}")
    return tensors
