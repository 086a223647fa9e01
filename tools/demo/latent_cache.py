"""Latents of random scenes, drawn and encoded once, so that a training step costs only the network.

An entry is known by its number, and so are its scene and all its captions; only its latents are stored. Filling a cache
goes on where it was after any end, a kill included, and it may be made larger at any time:

    python standalone.py tools.demo.latent_cache NAME COUNT --folder FOLDER
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...demo.autoencoder import CELL, SCALE, Autoencoder
from ...demo.backdrops import SIZE
from ...demo.scenes import FRAMES, Clip, Scene, draw, random_scene

BLOCK = 64
"""Entries that are stored together."""
SIDE = SIZE // CELL
"""Height and width of a latent."""
LATENT = (4, SIDE, SIDE)
"""Shape of a frame's latent."""
TOLERANCE = 0.02
"""Most that a stored latent may differ from a new one, on average: half precision, another machine's arithmetic."""


class CacheError(ValueError):
    """A cache holds other latents than its source gives now."""


def whole(count: int) -> int:
    """Return a number of entries that makes whole blocks."""
    return max(1, count // BLOCK) * BLOCK


@dataclass(frozen=True)
class Source:
    """What a cache holds: random scenes by their numbers."""

    name: str
    count: int
    clips: bool = False
    """Whether whole clips are kept, or one random frame of each scene."""
    seed: int = 0
    draw: Callable[[Scene, list[int]], Clip] = draw
    """Draws some moments of a scene."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.count % BLOCK:
            raise ValueError(f"a cache of {self.count} entries; expected a multiple of {BLOCK}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.count, FRAMES if self.clips else 1, *LATENT

    def scene(self, index: int) -> Scene:
        return self._scene(index)[0]

    def drawn(self, index: int) -> Clip:
        """Draw an entry."""
        scene, rng = self._scene(index)
        moments = list(range(FRAMES)) if self.clips else [rng.randrange(FRAMES)]
        return self.draw(scene, moments)

    def _scene(self, index: int) -> tuple[Scene, random.Random]:
        rng = random.Random(f"{self.name} {self.seed} {index}")
        return random_scene(rng), rng


@dataclass(frozen=True)
class Cache:
    """Stored latents, in the UNet's scale."""

    source: Source
    latents: Tensor
    """(count, f, 4, SIDE, SIDE) in half precision; on disk until it is moved to a device."""

    def batch(self, indices: Sequence[int], device: torch.device) -> Tensor:
        """Return entries as (b f) c h w in float32."""
        return self.latents[torch.tensor(indices, device=self.latents.device)].to(device).float().flatten(0, 1)

    def to(self, device: torch.device) -> Cache:
        """Return the cache on a GPU, where it is small beside its memory; on a CPU it stays where it is."""
        return self if device.type == "cpu" else Cache(self.source, self.latents.to(device))


def load_codec(folder: Path) -> Autoencoder:
    """Return the finished codec in a folder of weights, frozen, on the CPU."""
    codec = Autoencoder()
    codec.load_state_dict({name: weight.float() for name, weight in load_file(folder / "codec.safetensors").items()})
    return codec.eval().requires_grad_(False)


def through_codec(codec: Autoencoder, frames: Tensor) -> Tensor:
    """Return frames, (f, 3, h, w) with values 0 to 1, as the codec gives them back."""
    with torch.inference_mode():
        return ((codec.decode(codec.encode(2 * frames - 1)) + 1) / 2).clamp(0, 1)


def encode(codec: Autoencoder, frames: Tensor) -> Tensor:
    """Return the latents, in the UNet's scale, of frames with values 0 to 1."""
    with torch.inference_mode():
        return codec.encode(frames * 2 - 1) * SCALE


def cached(folder: Path, source: Source, codec: Autoencoder, workers: int | None = None,
           tell: Callable[[str], None] = print) -> Cache:
    """Return the cache of a source in a folder, after filling what is missing of it.

    Args:
        codec: On the CPU, in float32.
        workers: Processes that fill it; by default one for each CPU that is free to this process.

    Raises:
        CacheError: The files in the folder hold other latents: those of another codec, world or seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blocks = -(-source.count // BLOCK)
    size = torch.Size(source.shape).numel()
    latents = _mapped(folder / f"{source.name}.latents", size, torch.float16).view(source.shape)
    done = _mapped(folder / f"{source.name}.done", blocks, torch.uint8)
    cache = Cache(source, latents)
    if done.any():
        _check(cache, codec, int(done.nonzero()[0]) * BLOCK)
    missing = (done == 0).nonzero().flatten().tolist()
    if missing:
        _fill(cache, codec, done, missing, workers or len(os.sched_getaffinity(0)), tell)
    return cache


def _mapped(path: Path, size: int, dtype: torch.dtype) -> Tensor:
    """Return the file, or as much of it as is asked for, as a tensor; it grows as it has to, with zeros."""
    return torch.from_file(str(path), shared=True, size=size, dtype=dtype)


def _check(cache: Cache, codec: Autoencoder, index: int) -> None:
    """Compare an entry with what its source gives now."""
    now = encode(codec, cache.source.drawn(index).frames)
    difference = float((cache.latents[index].float() - now).abs().mean())
    if not difference <= TOLERANCE:
        raise CacheError(f"the cached latents of {cache.source.name!r} differ by {difference:.2f} from those that this "
                         "codec, world and seed give; remove the cache, or use what it was made with")


def _fill(cache: Cache, codec: Autoencoder, done: Tensor, missing: list[int], workers: int,
          tell: Callable[[str], None]) -> None:
    """Store the missing blocks, in several processes where the system can fork them."""
    if workers == 1 or "fork" not in multiprocessing.get_all_start_methods():
        _fill_part(cache, codec, done, missing)
        return
    fork = multiprocessing.get_context("fork")
    parts = [fork.Process(target=_fill_part, args=(cache, codec, done, missing[worker::workers], 1), daemon=True)
             for worker in range(workers)]
    begun = time.monotonic()
    for part in parts:
        part.start()
    while any(part.is_alive() for part in parts):
        for part in parts:
            part.join(30 / workers)
        stored = len(missing) - int((done == 0).sum())
        left = (time.monotonic() - begun) * (len(missing) - stored) / max(1, stored)
        tell(f"{cache.source.name}: {len(done) - len(missing) + stored} of {len(done)} blocks, "
             f"{left / 60:.0f} min to go")
    if any(part.exitcode for part in parts):
        raise RuntimeError(f"a process that filled the cache {cache.source.name!r} ended with an error; start again to "
                           "go on")


def _fill_part(cache: Cache, codec: Autoencoder, done: Tensor, blocks: list[int], threads: int | None = None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
    for block in blocks:
        for index in range(block * BLOCK, min((block + 1) * BLOCK, cache.source.count)):
            cache.latents[index] = encode(codec, cache.source.drawn(index).frames)
        # Only now: a block that a kill interrupts is filled again.
        done[block] = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("images", "clips"))
    parser.add_argument("count", type=int)
    parser.add_argument("--folder", type=Path, default=Path("output") / "train-demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    chosen = parser.parse_args()
    source = Source(chosen.name, whole(chosen.count), chosen.name == "clips", chosen.seed)
    cached(chosen.folder / "cache", source, load_codec(chosen.folder / "weights"), chosen.workers)


if __name__ == "__main__":
    main()
