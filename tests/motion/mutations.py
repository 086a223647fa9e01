"""Files that are nearly right: one file broken in many ways, each decided by a seed."""

from __future__ import annotations

import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

ODD_NUMBERS = (0, 1, -1, 3, 7, 2**31, 2**40, 2**63, 10**30, 1.5, True, None, "4", [], {}, [[1]])
DTYPES = ("F64", "F16", "BF16", "I64", "I8", "U16", "U64", "BOOL", "C64", "F8_E4M3", "F8_E8M0", "F4", "F6_E2M3", "X", 3)
NAMES = ("", "alpha", "module.module.x", "unet.conv_in.weight", "x" * 100_000, "down_blocks." + "9" * 5000, "\x00\n",
         "model.diffusion_model.input_blocks.0.0.weight", "lora_controlnet", "__metadata__")


def odd_tensors() -> list[object]:
    """Return values that no file of plain weights holds, in place of one."""
    return [
        torch.tensor(3), torch.zeros(0), torch.zeros(2**20, 0), torch.zeros(4, dtype=torch.bool), torch.zeros(64, 64),
        torch.zeros(64, 64, dtype=torch.complex64), torch.zeros(64, 64, dtype=torch.uint16),
        torch.ones(64, 64).to_sparse(),
        torch.zeros(64, 64, device="meta"), torch.quantize_per_tensor(torch.ones(64, 64), 0.1, 0, torch.qint8),
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), torch.zeros(1).expand(2**20, 2**20),
        torch.full((64, 64), 1e300, dtype=torch.float64), torch.zeros(64, 64).to(torch.float8_e4m3fn),
        torch.nn.Parameter(torch.zeros(64, 64)), torch.arange(64 * 64.0).view(64, 64).t(), torch.float32, None, "text",
        [torch.zeros(2)], {"weight": torch.zeros(2)}, bytearray(10), 10**400, {1, 2}, torch.Size([1, 2]), (1,) * 10]


def write_mutation(tensors: dict[str, Tensor], metadata: dict[str, str], folder: Path, seed: int) -> tuple[Path, str]:
    """Write the file of a seed; return its path and what was done to it."""
    draw = random.Random(seed)
    mutation = draw.choice(MUTATIONS)
    path = folder / f"{seed}.{draw.choice(('safetensors', 'ckpt'))}"
    mutation(dict(tensors), dict(metadata), path, draw)
    return path, mutation.__name__


def _header(tensors, metadata, path, draw):
    """Another value somewhere in the header of a safetensors file."""
    save_file(tensors, path, metadata)
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = json.loads(data[8:8 + length]), data[8 + length:]
    key = draw.choice([name for name in header if name != "__metadata__"])
    change = draw.randrange(8)
    if change == 0:
        header[key]["dtype"] = draw.choice(DTYPES)
    elif change == 1:
        header[key]["shape"] = [draw.choice(ODD_NUMBERS) for _ in range(draw.randrange(4))]
    elif change == 2:
        header[key]["data_offsets"] = [draw.choice(ODD_NUMBERS) for _ in range(draw.randrange(4))]
    elif change == 3:
        header[draw.choice(NAMES)] = header.pop(key)
    elif change == 4:
        header[key] = draw.choice(ODD_NUMBERS)
    elif change == 5:
        header[key] = {"dtype": draw.choice(DTYPES), "shape": [2**40, 0], "data_offsets": [0, 0]}
    elif change == 6:
        header["__metadata__"] = draw.choice(ODD_NUMBERS)
    text = json.dumps(header)
    if change == 7:  # the same name twice
        text = text[:-1] + f', "{key}": {json.dumps(header[key])}}}'
    path.write_bytes(struct.pack("<Q", len(text.encode())) + text.encode() + rest)


def _metadata(tensors, metadata, path, draw):
    """Other metadata, of ours and of other trainers."""
    name = draw.choice(("animatelcm.heads", "animatelcm.max_frames", "animatelcm.schedule", "animatelcm.family",
                        "animatelcm.mid_block", "lora_adapter_metadata", "ss_network_alpha", "alpha"))
    value = draw.choice(("", "0", "-1", "1000000", "1e9", "9" * 5000, "\u0663", "nan", "inf", "True", "x" * 10_000,
                         "[" * 50_000, "{", "[]", "null", '{"unet.r": 1}', '{"unet.lora_alpha": 1e400}',
                         '{"unet.lora_alpha": true}',
                         '{"lora_alpha": 3, "alpha_pattern": 3}', '{"lora_alpha": 3, "alpha_pattern": {"(a+)+": 3}}',
                         '{"lora_alpha": 3, "alpha_pattern": {"to_q": [1]}}', '{"lora_alpha": ' + "9" * 400 + "}"))
    save_file(tensors, path, {**metadata, name: value})


def _bytes(tensors, metadata, path, draw):
    """A file that is cut, grown, or has other bytes; mostly near its start, where all is said."""
    if draw.random() < 0.5:
        save_file(tensors, path, metadata)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=draw.random() < 0.5)
    data = bytearray(path.read_bytes())
    change = draw.randrange(4)
    if change == 0:
        del data[int(len(data) * draw.random() ** 4):]
    elif change == 1:
        data[:8] = struct.pack("<Q", draw.choice((0, 1, len(data), 2**24, 2**32, 2**63, 2**64 - 1)))
    else:
        for _ in range(draw.choice((1, 5, 100))):
            data[int(len(data) * draw.random() ** (8 if change == 2 else 1))] = draw.randrange(256)
    path.write_bytes(data)


def _pickle(tensors, metadata, path, draw):
    """Another byte or number in the pickle of an archive whose checksums are right."""
    torch.save(tensors, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    data = next(data for name, data in entries.items() if name.endswith("data.pkl"))
    for _ in range(draw.choice((1, 3))):
        data[draw.randrange(len(data))] = draw.choice((0, 0x2E, 0x4E, 0x52, 0x71, 0x81, 0xFF, draw.randrange(256)))
    if draw.random() < 0.3:
        entries.pop(draw.choice(list(entries)))
    with zipfile.ZipFile(path, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in entries.items():
            archive.writestr(name, bytes(content))


def _values(tensors, metadata, path, draw):
    """Odd values among the tensors of a pickle, or in place of them."""
    odd = draw.choice(odd_tensors())
    key = draw.choice(list(tensors))
    change = draw.randrange(6)
    data: object = tensors
    if change <= 2:
        tensors[key] = odd
    elif change == 3:
        tensors[draw.choice((*NAMES, 3, (1, 2), None, f"module.{key}", f"{key}.alpha"))] = odd
    elif change == 4:
        data = draw.choice(({"state_dict": odd}, {"module": {"state_dict": tensors}, "x": odd}, odd,
                            {"a": tensors, "b": tensors}))
    else:
        data = {name: tensor.double() * 1e200 for name, tensor in tensors.items()}
    if draw.random() < 0.2:
        path.write_bytes(pickle.dumps({"data": str(odd)[:100]}, protocol=draw.randrange(6)))
        return
    torch.save(data, path)


def _places(tensors, metadata, path, draw):
    """Something else in the place of a file."""
    change = draw.randrange(4)
    if change == 0:
        path.mkdir()
    elif change == 1:
        path.symlink_to(path.with_name("nothing"))
    elif change == 2:
        path.symlink_to(path)
    else:
        path.write_bytes(draw.randbytes(draw.randrange(600)))


MUTATIONS: tuple[Callable, ...] = (_header, _header, _metadata, _bytes, _bytes, _pickle, _values, _values, _places)
