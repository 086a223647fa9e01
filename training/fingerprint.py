"""Short names for what something was made from: settings, tensors, files, and the code itself.

Two things have one name where they are equal in what counts: tensors in their values, whatever the precision that holds
them; code in its statements, so that a comment makes no evidence stale.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
METHOD = (
    "training/bases.py", "training/consistency.py", "training/draws.py", "training/ema.py", "training/latents.py",
    "training/loop.py", "training/lora.py", "training/losses.py", "training/own_samples.py", "training/processes.py",
    "training/seeds.py", "training/solver.py",
    "training/stages.py", "training/trainer.py",
    "samplers", "motion/frame_scales.py", "motion/module.py", "motion/image_encoder.py",
    "host/training/control_nets.py", "host/inserts.py", "host/motion.py", "host/sites.py", "host/training/network.py",
    "host/training/requests.py", "host/training/runs.py")
"""The code that decides what a training makes of its settings and data: files, and folders of them."""
SIZE, BLOCK, THREADS = 16, 1 << 20, 4


def digest(*facts: Any) -> str:
    """Return a name for values that say all of themselves in their `repr`: text, numbers, and what is made of them."""
    return blake2b(repr(facts).encode(), digest_size=SIZE).hexdigest()


def of_tensors(named: Mapping[str, Tensor]) -> str:
    """Return a name for tensors and their names, whatever their order; float32 tells what lower precisions hold.

    It reads all bytes once, on the CPU: 860 million weights took ten seconds on two cores with much else to do.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return digest(*zip(sorted(named), pool.map(_of_tensor, (named[name] for name in sorted(named))), strict=True))


def _of_tensor(tensor: Tensor) -> str:
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    values = tensor.detach().cpu().contiguous()
    found = blake2b(f"{values.dtype} {tuple(values.shape)}".encode(), digest_size=SIZE)
    found.update(values.numpy().data)
    return found.hexdigest()


def of_files(paths: Iterable[Path]) -> str:
    """Return a name for the contents of files, in their order; what they are called does not count."""
    return digest(*map(_of_file, paths))


def _of_file(path: Path) -> str:
    found = blake2b(digest_size=SIZE)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


@cache
def of_code(*paths: str, root: Path = ROOT) -> str:
    """Return a name for what Python files say, without their comments, docstrings and blank lines.

    Args:
        paths: Files, or folders with all that is in them, from `root`.

    Raises:
        FileNotFoundError: One of them is not there.
    """
    files = sorted({file for path in paths for file in _python_files(root / path)})
    return digest(*((file.relative_to(root).as_posix(), statements(file.read_text(encoding="utf-8")))
                    for file in files))


def _python_files(path: Path) -> list[Path]:
    if path.suffix == ".py":
        return [path]
    if found := list(path.rglob("*.py")):
        return found
    raise FileNotFoundError(f"there is no Python file in {path}")


def statements(source: str) -> str:
    """Return a source without comments, blank lines, and statements that are nothing but a string.

    The text itself is cut, and not what the parser makes of it, which differs between versions of Python.
    """
    lines = source.splitlines()
    for token in reversed(list(_unsaid(source))):
        (first, start), (last, end) = token.start, token.end
        lines[first - 1:last] = [lines[first - 1][:start] + lines[last - 1][end:]]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _unsaid(source: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the comments and the docstrings, those of attributes included, in their order."""
    begins, string = True, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if string is not None:
            if token.type in (tokenize.NEWLINE, tokenize.COMMENT):
                yield string
            string = None
        if token.type == tokenize.COMMENT:
            yield token
        elif token.type == tokenize.STRING and begins:
            string = token
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def settings(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return the fields of a dataclass, and of those within it, by their names."""
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            found |= settings(value, prefix)
        else:
            found[prefix + field.name] = value if isinstance(value, str | bool | int | float) else str(value)
    return found
