"""What motion files and their neighbours look like: key layouts, families, and files that are something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Size

from .trained import COMMON_STEPS

EXPECTED = (
    "a motion module for Stable Diffusion 1.5: AnimateLCM, AnimateDiff v1, v2, v3 or Lightning, or a diffusers "
    "MotionAdapter"
)

IMAGE_ENCODER = "img_encoder."
"""Prefix of the image-to-video encoder's keys."""

SITE = re.compile(r"((?:(?:down|up)_blocks\.[0-9]{1,3}|mid_block)\.motion_modules\.[0-9]{1,3})\.(.+)")
"""A key of the temporal network: its site, and the rest."""

POSITIONS = re.compile(r"\.(?:pos_encoder|pos_embed)\.(pe|pos_encoding)$")
"""The end of a position table's key: AnimateDiff and diffusers say pe, the code of AnimateLCM pos_encoding."""


@dataclass(frozen=True)
class Layout:
    """How a family of files names the layers of one site."""

    name: str
    layers: Mapping[str, tuple[str, ...]]
    """From TemporalTransformer's layer to the file's; ours is stacked from several in this order."""

    def file_keys(self, key: str) -> list[str]:
        """Return the file's keys for a key of MotionModule's state dict."""
        if (found := SITE.fullmatch(key)) is None:
            raise KeyError(key)
        site, rest = found.groups()
        layer, _, kind = rest.rpartition(".")
        return [f"{site}.{name}.{kind}" for name in self.layers[layer]]


def _layout(name: str, root: str, attention: str, attention_norm: str, ff_norm: str, first: int) -> Layout:
    block = f"{root}transformer_blocks.0."
    layers: dict[str, tuple[str, ...]]
    layers = {"norm": (f"{root}norm",), "proj_in": (f"{root}proj_in",), "proj_out": (f"{root}proj_out",),
              "ff_norm": (block + ff_norm,), "ff_in": (f"{block}ff.net.0.proj",), "ff_out": (f"{block}ff.net.2",)}
    for i in range(2):
        file_attention = f"{block}{attention}{i + first}"
        layers[f"attentions.{i}.norm"] = (f"{block}{attention_norm}{i + first}",)
        layers[f"attentions.{i}.to_qkv"] = tuple(f"{file_attention}.to_{part}" for part in "qkv")
        layers[f"attentions.{i}.to_out"] = (f"{file_attention}.to_out.0",)
    return Layout(name, layers)


ANIMATEDIFF = _layout("AnimateDiff", "temporal_transformer.", "attention_blocks.", "norms.", "ff_norm", first=0)
MOTION_ADAPTER = _layout("diffusers MotionAdapter", "", "attn", "norm", "norm3", first=1)


def find_layout(keys: Iterable[str]) -> Layout | None:
    """Return the layout of a file's keys, or None where there is no temporal network in them."""
    rests = [match[2] for match in map(SITE.fullmatch, keys) if match]
    if not rests:
        return None
    return ANIMATEDIFF if any(rest.startswith("temporal_transformer.") for rest in rests) else MOTION_ADAPTER


def count_levels(keys: Iterable[str]) -> int:
    """Return how many UNet levels have sites."""
    levels = (re.match(r"(?:down|up)_blocks\.([0-9]{1,3})\.motion_modules\.", key) for key in keys)
    return 1 + max((int(level[1]) for level in levels if level), default=-1)


PREFIX = re.compile(r"(?:module\.|_orig_mod\.|model\.|diffusion_model\.|unet\.|motion_adapter\.)+")
"""What parallel training, torch.compile, and files of a whole model put before the keys of its UNet."""


def strip_prefixes(keys: Iterable[str]) -> list[str]:
    """Return the keys without what stands before the UNet's, where there is a temporal network among them."""
    keys = list(keys)
    bare = [key[match.end():] if (match := PREFIX.match(key)) else key for key in keys]
    return bare if any(map(SITE.fullmatch, bare)) else keys


@dataclass(frozen=True)
class Signature:
    """What a file shows about its family."""

    layout: Layout
    mid_block: bool
    image_encoder: bool
    position_name: str | None
    """The name of its position tables, if it has any."""
    frames: int | None
    """Their length."""
    file_name: str
    """In lower case."""

    @property
    def steps(self) -> int | None:
        """The number of steps that a few-step file is for, where its name says it."""
        named = re.search(r"(\d+)[ _-]?steps?(?![a-z])", self.file_name)
        return int(named[1]) if named else None

    @property
    def phases(self) -> int:
        """The phases that a file was trained in, where its name says that it was: as many as its steps."""
        return (self.steps or COMMON_STEPS) if _is_phased(self) else 1


@dataclass(frozen=True)
class Family:
    """A kind of motion file; the first in FAMILIES that matches is it."""

    name: str
    schedule: str
    sampling: str
    """What to set in a sampler, for the user."""
    matches: Callable[[Signature], bool]
    mid_block: bool = False
    """Whether every file of it has a site in the middle block."""


def _is_lightning(file: Signature) -> bool:
    # The tensors are those of AnimateDiff v2, which it was distilled from: only the name can tell.
    return re.search(r"animatediff[ _-]?lightning", file.file_name) is not None


def _is_animatelcm(file: Signature) -> bool:
    # The released files have no position tables, and the authors' code saves its own under its own name. Programs that
    # convert them save tables: of 64 frames where they know what they convert; with fewer only the name can tell.
    if file.position_name in (None, "pos_encoding") or "animatelcm" in file.file_name:
        return True
    return file.frames == ANIMATELCM_FRAMES and file.mid_block


def _is_phased(file: Signature) -> bool:
    # Phased consistency models (Wang et al. 2024) have the tensors of what they were distilled from.
    return re.search(r"(?<![a-z])(pcm|phased)(?![a-z])", file.file_name) is not None


def _is_long(file: Signature) -> bool:
    return re.search(r"lt_long_mm|long[ _-]?animatediff", file.file_name) is not None


def _is_v2(file: Signature) -> bool:
    return file.mid_block or "mm_sd_v15_v2" in file.file_name


def _is_v1(file: Signature) -> bool:
    return file.frames is not None and file.frames <= 24


FEW = "{steps} steps, cfg 1, sampler lcm, scheduler simple"
DETERMINISTIC = "{steps} steps, cfg 1, sampler euler, scheduler simple"
MANY = "25 steps, cfg 7.5, any sampler"
ANIMATELCM_FRAMES = 64
MOST_OF_ANIMATEDIFF = 32
"""Frames of the tables of AnimateDiff v2 and v3; v1 has 24."""

FAMILIES = (
    Family("AnimateLCM image-to-video", "AnimateLCM image-to-video", FEW, lambda file: file.image_encoder, True),
    Family("AnimateDiff-Lightning", "AnimateDiff", DETERMINISTIC, _is_lightning, True),
    Family("phased AnimateLCM", "AnimateLCM text-to-video", DETERMINISTIC,
           lambda file: _is_phased(file) and _is_animatelcm(file), True),
    Family("phased AnimateDiff", "AnimateDiff", DETERMINISTIC, _is_phased),
    Family("LongAnimateDiff", "AnimateDiff", MANY, _is_long),
    Family("AnimateLCM text-to-video", "AnimateLCM text-to-video", FEW, _is_animatelcm, True),
    Family("AnimateDiff v2", "AnimateDiff", MANY, _is_v2, True),
    Family("AnimateDiff v1", "AnimateDiff", MANY, _is_v1),
    Family("AnimateDiff v3", "AnimateDiff", MANY, lambda file: True),
)
def find_family(file: Signature) -> Family:
    """Return the family of a motion file."""
    return next(family for family in FAMILIES if family.matches(file))


def sampling_advice(name: str, file: Signature) -> str | None:
    """Return what to set in a sampler for a file of the family of this name; None for one that is not known."""
    sampling = next((family.sampling for family in FAMILIES if family.name == name), None)
    return sampling and sampling.format(steps=file.steps or COMMON_STEPS)


def doubt(file: Signature) -> str | None:
    """Return why the family of a file is not certain, and what else can be set, for the user; None where it is."""
    if _is_phased(file):
        return ("not certain: that it was trained in phases is what its name says. If it was not, sample with "
                f"{FEW.format(steps=COMMON_STEPS)}")
    if file.frames is None or file.frames <= MOST_OF_ANIMATEDIFF or file.position_name == "pos_encoding" or (
            "animatelcm" in file.file_name or _is_long(file)):
        return None
    if file.frames == ANIMATELCM_FRAMES and file.mid_block:
        return ("not certain: LongAnimateDiff has position tables of 64 frames too. If this is one, set schedule to "
                f"AnimateDiff and sample with {MANY}")
    middle = "" if file.mid_block else " and no middle block"
    return (f"not certain: no known family has position tables of {file.frames} frames{middle}. If this is a few-step "
            f"module, set schedule to the one it was trained with and sample with {FEW.format(steps=COMMON_STEPS)}")


@dataclass(frozen=True)
class Foreign:
    """A kind of file that is no motion module; the first in FOREIGN that matches is it."""

    what: str
    advice: str
    matches: Callable[[Mapping[str, Size]], bool]


def _has(pattern: str) -> Callable[[Mapping[str, Size]], bool]:
    return lambda shapes: any(re.search(pattern, key) for key in shapes)


LORA_KEY = r"lora[_.]|_lora\.|hada_w1|lokr_w1"
"""A key of a LoRA of any kind."""
TEMPORAL_KEY = r"motion_modules|temporal_transformer"
"""A key of a motion module or of a LoRA of one."""


def _is_motion_lora(shapes: Mapping[str, Size]) -> bool:
    return any(re.search(LORA_KEY, key) and re.search(TEMPORAL_KEY, key) for key in shapes)


def _is_pia(shapes: Mapping[str, Size]) -> bool:
    return count_levels(shapes) > 0 and shapes.get("conv_in.weight", ())[1:2] == (9,)


CONTROL_LORA = Foreign("a ControlNet-LoRA", "Use the ControlNet loader for it.", _has(r"^lora_controlnet$"))

FOREIGN = (
    CONTROL_LORA,
    Foreign("a motion LoRA", "Use Load Motion LoRA for it, after Load Motion Module.", _is_motion_lora),
    Foreign("a LoRA of the image model", "Use the LoRA loader for it, on the MODEL.", _has(LORA_KEY)),
    Foreign("a HotshotXL motion module", "It belongs to SDXL and does not fit Stable Diffusion 1.5.",
            _has(r"temporal_attentions\.|pos_encoder\.positional_encoding")),
    Foreign("an SDXL motion module (three levels)", "It does not fit Stable Diffusion 1.5.",
            lambda shapes: count_levels(shapes) == 3),
    Foreign("a ControlNet", "Use the ControlNet loader for it.",
            _has(r"^control_model\.|^controlnet_|^input_hint_block\.|^zero_convs\.")),
    Foreign("a PIA motion module", "Its changed input layer is not supported.", _is_pia),
    Foreign("a FancyVideo motion module", "Its extra embeddings are not supported.",
            _has(r"^(fps|motion)_embedding\.")),
    Foreign("a CameraCtrl file", "Its camera encoder is not supported.",
            _has(r"\.qkv_merge\.|^pose_encoder|^camera_encoder")),
)
"""Looked for in every file."""

FOREIGN_WITHOUT_TIME = (
    Foreign("an SDXL checkpoint", "Use the checkpoint loader for it.", _has(r"^conditioner\.embedders\.")),
    Foreign("a diffusion transformer, such as Flux, SD3 or Wan", "It does not go with Stable Diffusion 1.5; use the "
            "diffusion model loader for it.",
            _has(r"^(model\.diffusion_model\.)?(double_blocks|single_blocks|joint_blocks|transformer_blocks|blocks)\.\d")),
    Foreign("a Stable Diffusion checkpoint", "Use the checkpoint loader for it.",
            _has(r"^model\.diffusion_model\.|^cond_stage_model\.")),
    Foreign("a UNet of Stable Diffusion", "Use the diffusion model loader for it.",
            _has(r"^(input|output)_blocks\.\d")),
    Foreign("a VAE", "Use the VAE loader for it.",
            _has(r"^(vae\.|first_stage_model\.)?((encoder|decoder)\.(down|up|mid|down_blocks|up_blocks|mid_block)\.|"
                 r"(post_)?quant_conv\.)")),
    Foreign("a UNet in diffusers' layout, or a part of one", "Use the diffusion model loader for it.",
            _has(r"^(unet\.)?((down_blocks|up_blocks|mid_block)\.(\d+\.)?(resnets|attentions|downsamplers|upsamplers)\.|"
                 r"time_embedding\.linear_1|conv_norm_out\.)")),
    Foreign("an IP-Adapter", "Use the IP-Adapter loader of the pack that has one.",
            _has(r"^(image_proj|image_proj_model|ip_adapter|adapter_modules)\.")),
    Foreign("a T2I-Adapter", "Use the ControlNet loader for it.",
            _has(r"^(adapter\.)?body\.\d+\.(block1|block2|in_conv|resnets)\b")),
    Foreign("a CLIP vision model", "Use the CLIP vision loader for it.", _has(r"^(vision_model|visual)\.")),
    Foreign("a text encoder", "Use the CLIP loader for it.",
            _has(r"^(text_encoder\w*\.|transformer\.)?(text_model\.|encoder\.block\.\d+\.layer\.|shared\.weight$)|"
                 r"^(model\.)?layers\.\d+\.self_attn\.")),
    Foreign("an image encoder of AnimateLCM image-to-video", "Its motion module is missing: use the complete file.",
            _has(r"^img_encoder\.")),
)
"""Looked for in a file without a temporal network; training checkpoints hold one beside their whole UNet."""


def find_foreign(shapes: Mapping[str, Size]) -> Foreign | None:
    """Return what a file is that is no motion module, going by its keys and shapes, or None."""
    kinds = FOREIGN if find_layout(shapes) else FOREIGN + FOREIGN_WITHOUT_TIME
    return next((kind for kind in kinds if kind.matches(shapes)), None)
