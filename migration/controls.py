"""ControlNets of ComfyUI-Advanced-ControlNet, also those with another strength at each frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .draft import Draft, Link, Node
from .report import Report
from .sizes import video_size

LOADERS = ("ControlNetLoaderAdvanced", "ACN_ControlNetLoaderAdvanced")
APPLIERS = ("ACN_AdvancedControlNetApply", "ACN_AdvancedControlNetApply_v2")
EASES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "ease-in": lambda share: share**2,
    "ease-out": lambda share: 1 - (1 - share) ** 2,
    "ease-in-out": lambda share: (1 - math.cos(share * math.pi)) / 2,
}
"""How the strength goes between two frames, by the share of the way."""


class _NoCounterpartError(Exception):
    """A setting that cannot be kept; its text says which."""


@dataclass(frozen=True)
class _Strength:
    """What key frames say: a factor for all frames, and one for each."""

    factor: float = 1.0
    frames: tuple[float, ...] | None = None
    used: tuple[str, ...] = ()
    """Old nodes whose meaning is in it."""


def map_controls(draft: Draft, report: Report) -> None:
    """Map what loads and applies ControlNets, where their strength does not change over the steps."""
    for node in list(draft.of_kind(*APPLIERS)):
        try:
            _control(draft, node, report)
        except _NoCounterpartError as error:
            report.not_mapped(node, f"left as it was, for {error}: it needs the pack ComfyUI-Advanced-ControlNet, "
                                    "which works beside this one")
    for node in list(draft.of_kind(*LOADERS)):
        if _keys_of_loader(draft, node) is None:
            _load(draft, node, report)


def _control(draft: Draft, node: Node, report: Report) -> None:
    for name, what in (("mask_optional", "its mask"), ("weights_override", "its weights")):
        if draft.source(node, name) is not None:
            raise _NoCounterpartError(what)
    loader = draft.source(node, "control_net")
    keys = draft.source(node, "timestep_kf")
    if keys is None and loader is not None and loader.kind in LOADERS:
        keys = _keys_of_loader(draft, loader)
    strength = _strength(draft, node, keys)
    net, scale = draft.link(node, "control_net"), draft.value(node, "strength", 1.0)
    if strength.factor != 1 and not isinstance(scale, (int, float)):
        raise _NoCounterpartError("a strength that comes by a link and one of key frames")
    if loader is not None and loader.kind in LOADERS:
        _load(draft, loader, report)
        net = Link(loader.id)
    if strength.frames is not None:
        net = draft.add("AnimateLCM_ControlNetStrength", {"control_net": net,
                                                          "strength_curve": _text(strength.frames)}, node)
        report.became(node, f"ControlNet Strength ({net.node})")
    draft.turn(node, "ControlNetApplyAdvanced", {
        **{name: draft.link(node, name) for name in ("positive", "negative", "image")}, "control_net": net,
        "strength": scale * strength.factor if strength.factor != 1 else scale,
        **{name: draft.value(node, name) for name in ("start_percent", "end_percent")},
        "vae": draft.link(node, "vae_optional")}, keeps=(0, 1, 2))
    report.became(node, f"Apply ControlNet ({node.id})")
    for used in strength.used:
        draft.done.add(used)
        report.became(draft.old[used], "the strength of the ControlNet")
    model = draft.link(node, "model_optional")
    if model is not None:
        draft.move(Link(node.id, 2), model)


def _load(draft: Draft, node: Node, report: Report) -> None:
    if draft.nodes[node.id].fresh:
        return
    name = draft.value(node, "control_net_name", draft.value(node, "cnet", ""))
    draft.turn(node, "ControlNetLoader", {"control_net_name": name}, keeps=(0,))
    report.became(node, "Load ControlNet Model")


def _keys_of_loader(draft: Draft, node: Node) -> Node | None:
    return draft.source(node, "tk_optional") or draft.source(node, "_tk_opt")


def _strength(draft: Draft, node: Node, keys: Node | None) -> _Strength:
    """Return what key frames over the steps and the frames say, where it is the same in all steps."""
    frames, factor, elsewhere, used = draft.source(node, "latent_kf_override"), 1.0, 0.0, []
    if keys is not None:
        if keys.kind != "TimestepKeyframe" or draft.source(keys, "prev_timestep_kf") is not None or \
                draft.value(keys, "start_percent", 0.0) != 0:
            raise _NoCounterpartError("a strength that changes over the steps")
        for name, what in (("cn_weights", "weights"), ("mask_optional", "a mask")):
            if draft.source(keys, name) is not None:
                raise _NoCounterpartError(f"{what} in its key frames")
        factor = _number(draft.value(keys, "strength", 1.0))
        elsewhere = _number(draft.value(keys, "null_latent_kf_strength", 0.0))
        frames = frames or draft.source(keys, "latent_keyframe")
        used.append(keys.id)
    if frames is None:
        return _Strength(factor, None, tuple(used))
    size = video_size(draft, node, "latent")
    if size is None or not isinstance(size[2], int):
        raise _NoCounterpartError("key frames of a video whose length is not known (connect an Empty Latent Image)")
    found = _at_frames(draft, frames, size[2], used)
    return _Strength(factor, tuple(found.get(frame, elsewhere) for frame in range(size[2])), tuple(used))


def _at_frames(draft: Draft, node: Node, num_frames: int, used: list[str]) -> dict[int, float]:
    """Return {frame: strength} of a chain of key frames."""
    used.append(node.id)
    source = draft.source(node, "prev_latent_kf") or draft.source(node, "prev_latent_keyframe")
    before = _at_frames(draft, source, num_frames, used) if source is not None else {}
    if node.kind == "LatentKeyframe":
        own = {int(_number(draft.value(node, "batch_index", 0))): _number(draft.value(node, "strength", 1.0))}
        own, before = before, own
    elif node.kind == "LatentKeyframeTiming":
        own = _between(draft, node)
    elif node.kind == "LatentKeyframeGroup":
        own = _written(draft.value(node, "index_strengths", ""), num_frames)
    else:
        raise _NoCounterpartError(f"the strengths of {node.name}")
    own = {frame % num_frames if -num_frames <= frame < 0 else frame: value for frame, value in own.items()}
    return own | before


def _between(draft: Draft, node: Node) -> dict[int, float]:
    first, end = (int(_number(draft.value(node, name, 0))) for name in ("batch_index_from", "batch_index_to_excl"))
    low, high = (_number(draft.value(node, name, 1.0)) for name in ("strength_from", "strength_to"))
    ease = EASES.get(str(draft.value(node, "interpolation", "linear")), EASES["linear"])
    return {frame: low + (high - low) * ease((frame - first) / max(1, end - first - 1)) for frame in range(first, end)}


def _written(text: Any, num_frames: int) -> dict[int, float]:
    """Read strengths as that pack writes them: `0, 4=0.5, 8:12=0.2`."""
    found: dict[int, float] = {}
    try:
        for part in filter(None, (part.strip() for part in str(text).split(","))):
            place, _, strength = part.partition("=")
            first, colon, end = place.partition(":")
            frames = range(num_frames)[int(first):int(end)] if colon else [int(first)]
            found |= {frame: float(strength or 1) for frame in frames}
    except ValueError:
        raise _NoCounterpartError(f"the strengths {text!r}") from None
    return found


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise _NoCounterpartError("a number of its key frames that comes by a link")
    return float(value)


def _text(values: tuple[float, ...]) -> str:
    """Write strengths as key frames, without those that lie evenly between their neighbours."""
    kept = [frame for frame in range(len(values))
            if frame in (0, len(values) - 1)
            or not math.isclose(values[frame] - values[frame - 1], values[frame + 1] - values[frame], abs_tol=1e-9)]
    return ", ".join(f"{frame}: {round(values[frame], 6):g}" for frame in kept)
