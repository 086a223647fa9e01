"""Read the tensors of a weight file, whatever its suffix says, without running anything in it."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

WRAPPERS = ("state_dict", "module")
"""Entries of a training checkpoint under which the weights are found."""

DEEPEST_NESTING = 4
"""Wrappers around wrappers that are looked through; a bound, because a pickle can contain itself."""

LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no longer header."""

AGAIN = "Download the file again."


class MotionFileError(ValueError):
    """A file is not a motion file that can be used; the message says what it is and what to do."""


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file or PyTorch pickle on the CPU, and the metadata of the former.

    The content decides which of the two it is. Of a training checkpoint only the weights are returned.

    Raises:
        MotionFileError: There is no such file, it is neither of the two, it is damaged, or it would run code. The
            message goes on from the name of the file.
    """
    if not path.is_file():
        raise MotionFileError(f"is not there: no file at {path}. Put the motion file there, or choose another.")
    with path.open("rb") as file:
        head = file.read(512)
    # safetensors: eight bytes of header length, then the header, which is JSON
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
        return _read_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return _named_tensors(_read_pickle(path, head)), {}
    raise MotionFileError(f"{_describe(head)}. Expected weights, as a .safetensors or PyTorch .ckpt file. {AGAIN}")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = file.keys()
            return {key: file.get_tensor(key) for key in keys}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise MotionFileError(f"seems to be a truncated or damaged safetensors file of {path.stat().st_size} bytes "
                              f"({error}). {AGAIN}") from error


def _read_pickle(path: Path, head: bytes) -> object:
    damaged = f"seems to be a truncated or damaged PyTorch file of {path.stat().st_size} bytes"
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise MotionFileError(f"{damaged} (its end is missing). {AGAIN}")
    try:
        with path.open("rb") as file:  # given a path, torch goes by the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"is a pickle that calls {found[1]}" if found else "is a damaged pickle, or one of more than tensors"
        raise MotionFileError(f"{what}. Nothing in it was run. Expected plain tensors: use a .safetensors version of "
                              "this file, or have it converted to safetensors where its source is trusted.") from error
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise MotionFileError(f"{damaged} ({type(error).__name__}: {str(error)[:200]}). {AGAIN}") from error


def _named_tensors(data: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, from under its wrappers."""
    for _ in range(DEEPEST_NESTING):
        data = _unwrap(data)
    if not isinstance(data, Mapping):
        raise MotionFileError(f"holds a Python {type(data).__name__}. Expected named tensors. Choose a motion file.")
    return {key: value for key, value in data.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _unwrap(data: object) -> object:
    if not isinstance(data, Mapping):
        return data
    inner = [data[name] for name in WRAPPERS if name in data] or (list(data.values()) if len(data) == 1 else [])
    return inner[0] if inner and isinstance(inner[0], Mapping) else data


def _describe(head: bytes) -> str:
    """Say what a file that holds no weights is, from its first bytes."""
    if not head:
        return "is an empty file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, a short text that stands for the real file (`git lfs pull` fetches that)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page, saved instead of the file that its address leads to"
    if len(head) < 9:
        return f"is a file of only {len(head)} bytes"
    try:
        return f"is a text that begins with {head.decode()[:60]!r}"
    except UnicodeDecodeError:
        return f"is of an unknown kind; it begins with the bytes {head[:8].hex(' ')}"
