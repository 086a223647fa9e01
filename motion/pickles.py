"""PyTorch pickles: what they would make in memory, known before it is made.

torch's own restricted unpickler runs no code, but it makes whatever a file asks for: an array of any length, a tensor
of another layout, or 3 GB out of a compressed archive of 3 MB.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import AGAIN, MotionFileError, short

LARGEST_PICKLE = 2**23
"""Bytes of the pickle itself, which only names the tensors; a checkpoint of 1,500 tensors has 0.4 MB."""
PICKLES_OF_OLD_FORMAT = 5
"""Before torch 1.6 a file was these, one after another, and then the values."""
MOST_UNPACKED = 4
"""Bytes in memory by byte of the file; torch does not compress, and weights that were zipped again shrink little."""
PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|"
    r"parameter_with_state)|torch(\.cuda|\.storage)?\.\w+Storage|torch\.Size|torch\.device|"
    r"torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout|_codecs\.encode|(builtins|__builtin__)\.set")
"""What a file of plain tensors calls, beside types of numbers."""
CONVERTED = ("Expected plain tensors: use a .safetensors version of this file, or have it converted to safetensors "
             "where its source is trusted.")


def read_pickle(path: Path, load: bool = True) -> object:
    """Return what a PyTorch file holds, on the CPU; without `load`, only look at it, and return None.

    Raises:
        MotionFileError: It is damaged, calls more than plain tensors need, or would fill the memory.
    """
    size = path.stat().st_size
    damaged = f"seems to be a truncated or damaged PyTorch file of {size} bytes"
    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
    if archive and not zipfile.is_zipfile(path):
        raise MotionFileError(f"{damaged} (its end is missing). {AGAIN}")
    try:
        _check_archive(path, size) if archive else _check_old_format(path)
        if not load:
            return None
        with path.open("rb") as file:  # given a path, torch goes by the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except MotionFileError:
        raise
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise _refused(found[1] if found else None) from error
    except Exception as error:  # a damaged pickle can fail in any way at all
        raise MotionFileError(f"{damaged} ({type(error).__name__}: {short(error)}). {AGAIN}") from error


def check_plain(tensors: Mapping[str, Tensor], size: int) -> None:
    """Check that the tensors lie in memory as they did in a file of `size` bytes.

    Raises:
        MotionFileError: One has another layout, or is larger than the values that the file holds for it.
    """
    total = 0
    for key, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
            raise MotionFileError(f"holds a tensor that is sparse, quantised, nested or without values, {short(key)}. "
                                  f"{CONVERTED}")
        total += tensor.numel() * tensor.itemsize
        if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise MotionFileError(f"holds fewer values than its shapes ask for: {short(key)} is {tuple(tensor.shape)}, "
                                  f"of {tensor.untyped_storage().nbytes()} bytes. {AGAIN}")
    _check_total(total, size)


def _check_archive(path: Path, size: int) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        _check_total(sum(entry.file_size for entry in entries), size)
        # torch finds its entries by name, in capitals or not
        pickles = [entry for entry in entries if entry.filename.lower().endswith(".pkl")]
        if any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names):
            raise MotionFileError(f"is a TorchScript program. Nothing in it was run. {CONVERTED}")
        if not any(entry.filename.lower().endswith("data.pkl") for entry in pickles):
            raise MotionFileError(f"is a zip archive of other files, such as {', '.join(map(short, names[:2]))}. "
                                  "Unpack it, and use the weights in it.")
        for entry in pickles:
            with archive.open(entry) as file:
                _check_calls(io.BytesIO(file.read(LARGEST_PICKLE + 1)))


def _check_old_format(path: Path) -> None:
    with path.open("rb") as file:
        data = io.BytesIO(file.read(LARGEST_PICKLE + 1))
    for _ in range(PICKLES_OF_OLD_FORMAT):
        if bytes(data.getbuffer()[data.tell():data.tell() + 1]) != b"\x80":
            return
        _check_calls(data)


def _check_calls(data: io.BytesIO) -> None:
    """Read the next pickle of `data`, without doing what it says."""
    allowed = set(map(_name_of, torch.serialization.get_safe_globals()))
    try:
        for operation, argument, _ in pickletools.genops(data):
            name = argument.replace(" ", ".") if argument and operation.name in ("GLOBAL", "INST") else None
            if name and not (PLAIN.fullmatch(name) or name in allowed or _is_type_of_numbers(name)):
                raise _refused(name)
    except ValueError as error:
        if len(data.getbuffer()) <= LARGEST_PICKLE or isinstance(error, MotionFileError):
            raise
        raise MotionFileError(f"names its tensors in a pickle of more than {LARGEST_PICKLE} bytes. {AGAIN}") from error


def _name_of(known: Callable | tuple[Callable, str]) -> str:
    """Return how a pickle names what the host allows in addition."""
    if isinstance(known, tuple):
        return known[1]
    return f"{known.__module__}.{known.__qualname__}"


def _is_type_of_numbers(name: str) -> bool:
    module, _, last = name.partition(".")
    return module == "torch" and isinstance(getattr(torch, last, None), (torch.dtype, torch.qscheme))


def _check_total(unpacked: int, size: int) -> None:
    if unpacked > MOST_UNPACKED * size:
        raise MotionFileError(f"would take {unpacked / 1e6:,.0f} MB of memory from {size / 1e6:,.1f} MB, more than "
                              f"weights do. It is damaged, or made to fill the memory. {AGAIN}")


def _refused(name: str | None) -> MotionFileError:
    what = f"is a pickle that calls {short(name)}" if name else "is a damaged pickle, or one of more than tensors"
    return MotionFileError(f"{what}. Nothing in it was run. {CONVERTED}")
