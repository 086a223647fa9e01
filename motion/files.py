"""Motion files: read every known family into the keys of MotionModule, and write our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Size, Tensor

from ..storage.atomic import replacing
from .checks import MOST_FRAMES, WIDEST, check_finite, check_shapes
from .containers import join_names, read_tensors
from .errors import AGAIN, MotionFileError, short, some
from .formats import (
    ANIMATEDIFF,
    EXPECTED,
    IMAGE_ENCODER,
    POSITIONS,
    SITE,
    Family,
    Layout,
    Signature,
    count_levels,
    doubt,
    find_family,
    find_foreign,
    find_layout,
    sampling_advice,
    strip_prefixes,
)
from .image_encoder import ImageEncoder
from .module import MotionConfig, MotionModule
from .position_tables import read_table, tables_of_sites, unusual_tables
from .trained import METADATA, PAPERS, Trained, trained_of

__all__ = ["MotionFile", "MotionFileError", "read_motion_file", "write_motion_file"]

LEVELS = 4
"""Levels of the UNet of Stable Diffusion 1.5."""

HEADS = 8
"""Attention heads of every released module; no tensor shows their number."""

COMPUTED_FRAMES = 64
"""Frames that a module without position tables knows: AnimateLCM's."""

@dataclass(frozen=True)
class MotionFile:
    """What a motion file holds, in the terms of this package."""

    family: str
    """The name of a Family, or what the metadata say."""
    schedule: str
    """A key of SCHEDULES in the samplers package, or what the metadata say."""
    sampling: str | None
    """What to set in a sampler, for the user; None for a family that is not known."""
    config: MotionConfig
    weights: dict[str, Tensor]
    """MotionModule's state dict, in the file's own precision."""
    image_encoder: dict[str, Tensor] | None
    """ImageEncoder's state dict, in the file's own precision, of an image-to-video file."""
    position_encoding: dict[int, Tensor] | None
    """Position tables (max_frames, c) by c, of the widths where the file's differ from the sinusoid; None as a rule."""
    metadata: dict[str, str]
    trained: Trained = PAPERS
    """How it was distilled."""


def read_motion_file(path: str | Path, name: str | None = None) -> MotionFile:
    """Read a motion file of any known family and container.

    Args:
        name: What messages call it, such as its path in a folder of many; the file's name by default.

    Raises:
        MotionFileError: It is something else, damaged, incomplete, of wrong shapes, or holds NaN or infinite values.
    """
    path = Path(path)
    try:
        return _read(path)
    except MotionFileError as error:
        raise MotionFileError(f"{name or path.name} {error}") from error


def write_motion_file(
    path: str | Path,
    weights: Mapping[str, Tensor],
    family: str,
    schedule: str,
    config: MotionConfig,
    image_encoder: Mapping[str, Tensor] | None = None,
    position_encoding: Mapping[int, Tensor] | None = None,
    trained: Trained = PAPERS,
) -> None:
    """Write a motion file as safetensors with AnimateDiff's keys, which other programs read too.

    The file appears complete or not at all. Sinusoidal position tables are not stored, as in AnimateLCM's own files.

    Args:
        weights: MotionModule's state dict.
        schedule: A key of SCHEDULES in the samplers package.
        image_encoder: ImageEncoder's state dict, which makes it an image-to-video file.
        position_encoding: Position tables (frames, c) by c, where they are not the sinusoid.
        trained: How it was distilled, where not as in the paper.

    Raises:
        MotionFileError: The weights do not fit the configuration, or are not finite.
        WriteError: The system could not write it.
    """
    path = Path(path)
    try:
        tensors = _to_file(weights, config) | tables_of_sites(weights, position_encoding or {}, config)
        encoder = {IMAGE_ENCODER + key: tensor for key, tensor in (image_encoder or {}).items()}
        _check_encoder(encoder, config)
        tensors |= encoder
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        check_finite(tensors)
    except MotionFileError as error:
        raise MotionFileError(f"{path.name} is not written, because what it would hold {error}") from error
    facts = {"family": family, "schedule": schedule, "heads": config.heads, "max_frames": config.max_frames,
             "mid_block": config.mid_block}
    metadata = {"format": "pt"} | {METADATA + name: str(value) for name, value in facts.items()} | trained.facts()
    with replacing(path) as unfinished:
        save_file(tensors, unfinished, metadata)


def _read(path: Path) -> MotionFile:
    tensors, metadata = read_tensors(path)
    tensors = join_names(list(zip(strip_prefixes(tensors), tensors.values(), strict=True)))
    layout = _recognise({key: tensor.shape for key, tensor in tensors.items()})
    image_encoder = {key: tensor for key, tensor in tensors.items() if key.startswith(IMAGE_ENCODER)}
    temporal = {key: tensor for key, tensor in tensors.items() if SITE.fullmatch(key)}
    tables = {key: read_table(key, temporal.pop(key)) for key in list(temporal) if POSITIONS.search(key)}
    signature = Signature(
        layout=layout,
        mid_block=any(key.startswith("mid_block.") for key in temporal),
        image_encoder=bool(image_encoder),
        position_name=next((found[1] for found in map(POSITIONS.search, tables) if found), None),
        frames=min((len(table) for table in tables.values()), default=None),
        file_name=path.name.lower(),
    )
    family = find_family(signature)
    _check_middle(signature, family, metadata)
    config = _config(temporal, signature, metadata)
    _check(temporal, layout, config)
    _check_encoder(image_encoder, config)
    check_finite(temporal | tables | image_encoder)
    name = short(metadata.get(f"{METADATA}family", family.name))
    # A file of another program has only its name to say that it is phased.
    trained = trained_of(metadata) if f"{METADATA}family" in metadata else Trained(signature.phases)
    return MotionFile(
        family=name,
        schedule=metadata.get(f"{METADATA}schedule", family.schedule),
        sampling=trained.sampling if f"{METADATA}family" in metadata and trained.sampling else
        _sampling(name, signature, metadata),
        config=config,
        weights=_from_file(temporal, layout, config),
        image_encoder={key.removeprefix(IMAGE_ENCODER): tensor for key, tensor in image_encoder.items()} or None,
        position_encoding=unusual_tables(tables, config),
        metadata=metadata,
        trained=trained,
    )


def _sampling(name: str, signature: Signature, metadata: Mapping[str, str]) -> str | None:
    """Return what to set in a sampler, and, where the family is a guess, what else it can be."""
    advice, uncertain = sampling_advice(name, signature), doubt(signature)
    return f"{advice}\n{uncertain}" if uncertain and f"{METADATA}family" not in metadata else advice


def _check_middle(signature: Signature, family: Family, metadata: Mapping[str, str]) -> None:
    """Raise where the site in the middle block is missing that a family always has, or that the file had once."""
    had = metadata.get(f"{METADATA}mid_block")
    expected = family.mid_block if f"{METADATA}family" not in metadata else had == "True"
    if expected and not signature.mid_block:
        raise MotionFileError(f"is an incomplete {family.name} motion module: its middle block is missing, all keys "
                              f"that begin with mid_block.motion_modules.0. {AGAIN}")


def _recognise(shapes: Mapping[str, Size]) -> Layout:
    foreign = find_foreign(shapes)
    if foreign is not None:
        raise MotionFileError(f"seems to be {foreign.what}. {foreign.advice} Expected {EXPECTED}.")
    layout = find_layout(shapes)
    if layout is None:
        keys = f"it begins with the keys {some(shapes)}" if shapes else "it holds no named tensors"
        raise MotionFileError(f"is not recognised: {keys}. Expected {EXPECTED}.")
    return layout


def _config(temporal: Mapping[str, Tensor], signature: Signature, metadata: Mapping[str, str]) -> MotionConfig:
    """Derive the shape of a module from its tensors, and from the metadata what they cannot show."""
    if (levels := count_levels(temporal)) != LEVELS:
        raise MotionFileError(f"is a motion module of {levels} levels, not {LEVELS}. Expected {EXPECTED}.")
    try:
        channels = tuple(_channels(temporal, level) for level in range(LEVELS))
        return MotionConfig(
            channels=channels,
            mid_block=signature.mid_block,
            heads=_number(metadata, "heads", HEADS, max(channels)),
            max_frames=_number(metadata, "max_frames", signature.frames or COMPUTED_FRAMES, MOST_FRAMES),
        )
    except ValueError as error:
        raise MotionFileError(f"is a motion module of a shape that cannot be used: {error}. {AGAIN}") from error


def _number(metadata: Mapping[str, str], name: str, default: int, most: int) -> int:
    given = metadata.get(f"{METADATA}{name}", str(default))
    if not given.isascii() or not given.isdigit() or len(given) > 9 or not 1 <= int(given) <= most:
        raise ValueError(f"{name} is {short(given)}; expected a whole number from 1 to {most}")
    return int(given)


def _channels(temporal: Mapping[str, Tensor], level: int) -> int:
    """Return the width of a level: the commonest first axis, so that one wrong tensor does not decide it."""
    blocks = (f"down_blocks.{level}.", f"up_blocks.{LEVELS - 1 - level}.")
    sizes = Counter(tensor.shape[0] for key, tensor in temporal.items()
                    if key.startswith(blocks) and tensor.ndim and ".ff.net.0." not in key)
    if not sizes:
        raise ValueError(f"there is no tensor of level {level + 1}, whose keys begin with {' or '.join(blocks)}")
    channels = sizes.most_common(1)[0][0]
    if not 1 <= channels <= WIDEST:
        raise ValueError(f"level {level + 1} has {channels} channels; expected 1 to {WIDEST}")
    return channels


def _module_shapes(config: MotionConfig) -> dict[str, Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in MotionModule(config).state_dict().items()}


def _from_file(temporal: Mapping[str, Tensor], layout: Layout, config: MotionConfig) -> dict[str, Tensor]:
    """Return MotionModule's state dict from checked tensors of a file."""
    weights = {}
    for key in _module_shapes(config):
        parts = [temporal[file_key] for file_key in layout.file_keys(key)]
        if len({part.dtype for part in parts}) > 1:  # torch does not join 8-bit floats with others
            parts = [part.float() for part in parts]
        weights[key] = torch.cat(parts) if len(parts) > 1 else parts[0]
    return weights


def _to_file(weights: Mapping[str, Tensor], config: MotionConfig) -> dict[str, Tensor]:
    """Return the tensors of a file, with AnimateDiff's keys, from MotionModule's state dict."""
    if differing := weights.keys() ^ _module_shapes(config).keys():
        raise MotionFileError(f"differs from {config} in {len(differing)} keys, such as {some(sorted(differing))}.")
    tensors: dict[str, Tensor] = {}
    for key, weight in weights.items():
        file_keys = ANIMATEDIFF.file_keys(key)
        # safetensors wants memory of its own for every tensor, which the parts of one do not have
        parts = [part.clone() for part in weight.tensor_split(len(file_keys))] if len(file_keys) > 1 else [weight]
        tensors |= dict(zip(file_keys, parts, strict=True))
    _check(tensors, ANIMATEDIFF, config)
    return tensors


def _check(temporal: Mapping[str, Tensor], layout: Layout, config: MotionConfig) -> None:
    """Raise unless a file's temporal tensors are those that the configuration asks for."""
    shapes: dict[str, Size] = {}
    for key, shape in _module_shapes(config).items():
        file_keys = layout.file_keys(key)
        shapes |= dict.fromkeys(file_keys, Size((shape[0] // len(file_keys), *shape[1:])))
    check_shapes(temporal, shapes, f"motion module ({layout.name} layout)")


def _check_encoder(image_encoder: Mapping[str, Tensor], config: MotionConfig) -> None:
    """Raise unless a file's image encoder, where there is one, is complete and of the module's channels."""
    if image_encoder:
        with torch.device("meta"):
            weights = ImageEncoder(config.channels).state_dict()
        shapes = {IMAGE_ENCODER + key: tensor.shape for key, tensor in weights.items()}
        check_shapes(image_encoder, shapes, "motion module with an image encoder")
