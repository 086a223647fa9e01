"""The sockets and widgets of the nodes that a graph is made of anew, and the saved values of the old ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

MODULE = "ANIMATELCM_MOTION_MODULE"
VALUES = "ANIMATELCM_FRAME_VALUES,FLOAT,FLOATS,CURVE"
"""What a socket for one number for each frame takes."""


@dataclass(frozen=True)
class Shape:
    """A node as the editor's file has it; a test compares them with what a server says."""

    sockets: dict[str, str]
    """Inputs by a link alone: {name: type}."""
    widgets: dict[str, tuple[str, Any]]
    """Inputs with a value, in their order: {name: (type, value where a rule gives none)}."""
    outputs: dict[str, str]
    """{name: type}"""


_LEVELS: dict[str, tuple[str, Any]] = {f"level_{number}_weight": ("FLOAT", 1.0) for number in (1, 2, 3, 4)}
_MOTION: dict[str, tuple[str, Any]] = {"motion_strength": ("FLOAT", 1.0), "schedule": ("COMBO", "auto")}

SHAPES: dict[str, Shape] = {
    "AnimateLCM_LoadMotionModule": Shape({}, {"motion_file": ("COMBO", "")}, {"motion_module": MODULE}),
    "AnimateLCM_LoadMotionLoRA": Shape(
        {"motion_module": MODULE},
        {"lora_file": ("COMBO", ""), "strength": ("FLOAT", 1.0), "strength_curve": ("STRING", "")},
        {"motion_module": MODULE}),
    "AnimateLCM_AttentionScale": Shape(
        {"motion_module": MODULE, "scale_values": VALUES, "mask": "MASK"},
        {"scale": ("FLOAT", 1.0), "scale_curve": ("STRING", "")}, {"motion_module": MODULE}),
    "AnimateLCM_ControlNetStrength": Shape(
        {"control_net": "CONTROL_NET", "strength_values": VALUES}, {"strength_curve": ("STRING", "")},
        {"CONTROL_NET": "CONTROL_NET"}),
    "AnimateLCM_MotionControl": Shape(
        {"motion_module": MODULE, "mask": "MASK", "strength_values": VALUES},
        {"start_percent": ("FLOAT", 0.0), "end_percent": ("FLOAT", 1.0), "strength_curve": ("STRING", "")},
        {"motion_module": MODULE}),
    "AnimateLCM_ApplyMotionModule": Shape({"model": "MODEL", "motion_module": MODULE}, _MOTION, {"MODEL": "MODEL"}),
    "AnimateLCM_ImageToVideo": Shape(
        {"model": "MODEL", "motion_module": MODULE, "vae": "VAE", "reference_image": "IMAGE"},
        {"width": ("INT", 512), "height": ("INT", 512), "num_frames": ("INT", 16), "motion_scale": ("FLOAT", 0.8),
         **_MOTION, **_LEVELS},
        {"MODEL": "MODEL", "LATENT": "LATENT"}),
    "AnimateLCM_LongVideo": Shape(
        {"model": "MODEL"},
        {"context_length": ("INT", 16), "context_overlap": ("INT", 4), "loop": ("BOOLEAN", False),
         "freenoise": ("BOOLEAN", True)},
        {"MODEL": "MODEL"}),
    "AnimateLCM_PromptSchedule": Shape(
        {"clip": "CLIP"},
        {"text": ("STRING", ""), "num_frames": ("INT", 16), "interpolation": ("COMBO", "linear"),
         "prefix": ("STRING", ""), "suffix": ("STRING", "")},
        {"CONDITIONING": "CONDITIONING"}),
    "ContextWindowsManual": Shape(
        {"model": "MODEL"},
        {"context_length": ("INT", 16), "context_overlap": ("INT", 4), "context_schedule": ("COMBO", "standard_static"),
         "context_stride": ("INT", 1), "closed_loop": ("BOOLEAN", False), "fuse_method": ("COMBO", "pyramid"),
         "dim": ("INT", 0), "freenoise": ("BOOLEAN", False), "cond_retain_index_list": ("STRING", ""),
         "split_conds_to_windows": ("BOOLEAN", False), "latent_retain_index_list": ("STRING", ""),
         "causal_window_fix": ("BOOLEAN", False)},
        {"MODEL": "MODEL"}),
    "CheckpointLoaderSimple": Shape({}, {"ckpt_name": ("COMBO", "")}, {"MODEL": "MODEL", "CLIP": "CLIP", "VAE": "VAE"}),
    "EmptyLatentImage": Shape(
        {}, {"width": ("INT", 512), "height": ("INT", 512), "batch_size": ("INT", 1)}, {"LATENT": "LATENT"}),
    "CLIPTextEncode": Shape({"clip": "CLIP"}, {"text": ("STRING", "")}, {"CONDITIONING": "CONDITIONING"}),
    "ControlNetLoader": Shape({}, {"control_net_name": ("COMBO", "")}, {"CONTROL_NET": "CONTROL_NET"}),
    "ControlNetApplyAdvanced": Shape(
        {"positive": "CONDITIONING", "negative": "CONDITIONING", "control_net": "CONTROL_NET", "image": "IMAGE",
         "vae": "VAE"},
        {"strength": ("FLOAT", 1.0), "start_percent": ("FLOAT", 0.0), "end_percent": ("FLOAT", 1.0)},
        {"positive": "CONDITIONING", "negative": "CONDITIONING"}),
    "VAEDecode": Shape({"samples": "LATENT", "vae": "VAE"}, {}, {"IMAGE": "IMAGE"}),
    "VAEEncode": Shape({"pixels": "IMAGE", "vae": "VAE"}, {}, {"LATENT": "LATENT"}),
    "LoadVideo": Shape({}, {"file": ("COMBO", "")}, {"VIDEO": "VIDEO"}),
    "GetVideoComponents": Shape(
        {"video": "VIDEO"}, {}, {"images": "IMAGE", "audio": "AUDIO", "fps": "FLOAT"}),
    "CreateVideo": Shape({"images": "IMAGE", "audio": "AUDIO"}, {"fps": ("FLOAT", 30.0)}, {"VIDEO": "VIDEO"}),
    "SaveVideo": Shape(
        {"video": "VIDEO"},
        {"filename_prefix": ("STRING", "video/ComfyUI"), "format": ("COMBO", "auto"), "codec": ("COMBO", "auto")}, {}),
    "SaveWEBM": Shape(
        {"images": "IMAGE"},
        {"filename_prefix": ("STRING", "ComfyUI"), "codec": ("COMBO", "vp9"), "fps": ("FLOAT", 24.0),
         "crf": ("FLOAT", 32.0)}, {}),
    "SaveAnimatedWEBP": Shape(
        {"images": "IMAGE"},
        {"filename_prefix": ("STRING", "ComfyUI"), "fps": ("FLOAT", 6.0), "lossless": ("BOOLEAN", False),
         "quality": ("INT", 80), "method": ("COMBO", "default")}, {}),
    "ImageFromBatch": Shape({"image": "IMAGE"}, {"batch_index": ("INT", 0), "length": ("INT", 1)}, {"IMAGE": "IMAGE"}),
    "ImageScale": Shape(
        {"image": "IMAGE"},
        {"upscale_method": ("COMBO", "lanczos"), "width": ("INT", 512), "height": ("INT", 512),
         "crop": ("COMBO", "center")},
        {"IMAGE": "IMAGE"}),
    "RepeatImageBatch": Shape({"image": "IMAGE"}, {"amount": ("INT", 1)}, {"IMAGE": "IMAGE"}),
    "GetImageSize": Shape({"image": "IMAGE"}, {}, {"width": "INT", "height": "INT", "batch_size": "INT"}),
}

_WINDOWS = ("fuse_method", "use_on_equal_length", "start_percent", "guarantee_steps")
_SHOT = ("frame_load_cap", "skip_first_frames", "select_every_nth")
_CONTROL = ("strength", "start_percent", "end_percent")
_SAVED = ("frame_rate", "loop_count", "filename_prefix", "format", "pingpong")

OLD_WIDGETS: dict[str, tuple[str, ...]] = {
    "ADE_AnimateDiffLoaderGen1": ("model_name", "beta_schedule"),
    "ADE_AnimateDiffLoaderWithContext": ("model_name", "beta_schedule", "motion_scale", "apply_v2_models_properly"),
    "AnimateDiffLoaderV1": ("model_name", "unlimited_area_hack", "beta_schedule"),
    "ADE_AnimateDiffLoaderV1Advanced": (
        "model_name", "unlimited_area_hack", "context_length", "context_stride", "context_overlap",
        "context_schedule", "closed_loop", "beta_schedule"),
    "ADE_UseEvolvedSampling": ("beta_schedule",),
    "ADE_ApplyAnimateDiffModel": ("start_percent", "end_percent"),
    "ADE_ApplyAnimateDiffModelSimple": (),
    "ADE_LoadAnimateDiffModel": ("model_name",),
    "ADE_LoadAnimateLCMI2VModel": ("model_name",),
    "ADE_ApplyAnimateLCMI2VModel": ("ref_drift", "apply_ref_when_disabled", "start_percent", "end_percent"),
    "ADE_UpscaleAndVAEEncode": ("scale_method", "crop"),
    "ADE_AnimateDiffLoRALoader": ("name", "strength"),
    "ADE_MultivalDynamic": ("float_val",),
    "ADE_MultivalDynamicFloatInput": (),
    "ADE_MultivalDynamicFloats": (),
    "ADE_MultivalScaledMask": ("min_float_val", "max_float_val", "scaling"),
    "ADE_StandardStaticContextOptions": ("context_length", "context_overlap", *_WINDOWS),
    "ADE_StandardUniformContextOptions": ("context_length", "context_stride", "context_overlap", *_WINDOWS),
    "ADE_LoopedUniformContextOptions": (
        "context_length", "context_stride", "context_overlap", "closed_loop", *_WINDOWS),
    "ADE_AnimateDiffUniformContextOptions": (
        "context_length", "context_stride", "context_overlap", "context_schedule", "closed_loop", *_WINDOWS),
    "ADE_BatchedContextOptions": ("context_length", "start_percent", "guarantee_steps"),
    "ADE_AnimateDiffSamplingSettings": (
        "batch_offset", "noise_type", "seed_gen", "seed_offset", "adapt_denoise_steps"),
    "ADE_EmptyLatentImageLarge": ("width", "height", "batch_size"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "ADE_PromptScheduling": ("prompts", "print_schedule", "max_length", "tensor_interp"),
    "ADE_PromptSchedulingLatents": ("prompts", "print_schedule", "tensor_interp"),
    "ADE_AnimateDiffCombine": (*_SAVED, "save_image"),
    "CheckpointLoaderSimpleWithNoiseSelect": (
        "ckpt_name", "beta_schedule", "use_custom_scale_factor", "scale_factor"),
    "BatchPromptSchedule": ("text", "max_frames", "print_output", "start_frame", "end_frame"),
    "BatchPromptScheduleLatentInput": ("text", "print_output", "start_frame", "end_frame"),
    "ControlNetLoaderAdvanced": ("control_net_name",),
    "ACN_ControlNetLoaderAdvanced": ("cnet",),
    "ACN_AdvancedControlNetApply": _CONTROL,
    "ACN_AdvancedControlNetApply_v2": _CONTROL,
    "TimestepKeyframe": (
        "start_percent", "strength", "null_latent_kf_strength", "inherit_missing", "guarantee_steps"),
    "LatentKeyframe": ("batch_index", "strength"),
    "LatentKeyframeGroup": ("index_strengths", "print_keyframes"),
    "LatentKeyframeTiming": (
        "batch_index_from", "batch_index_to_excl", "strength_from", "strength_to", "interpolation"),
    "VHS_VideoCombine": (*_SAVED, "save_output"),
    "VHS_LoadVideo": ("video", "force_rate", "custom_width", "custom_height", *_SHOT),
    "VHS_LoadVideoPath": ("video", "force_rate", "custom_width", "custom_height", *_SHOT),
    "VHS_DuplicateImages": ("multiply_by",),
    "VHS_VAEDecodeBatched": ("per_batch",),
    "VHS_VAEEncodeBatched": ("per_batch",),
    "VHS_GetImageCount": (),
}
"""The order in which the editor saves the values of what a rule reads; behind them may be more."""


def known(shape: Shape, described: dict[str, Any] | None) -> Shape:
    """Return a shape with the widgets alone that a server describes."""
    groups = (described or {}).get("input") or {}
    names = {name for group in ("required", "optional") for name in groups.get(group) or {}}
    if not names:
        return shape
    return replace(shape, widgets={name: widget for name, widget in shape.widgets.items() if name in names})


def old_values(kind: str, values: Any) -> dict[str, Any]:
    """Return the saved values of a node by name; none of a kind that no rule reads."""
    if kind not in OLD_WIDGETS:
        return {}
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if value is not None}
    names = OLD_WIDGETS[kind]
    values = values if isinstance(values, list) else []
    if kind.startswith("VHS_LoadVideo") and len(values) > 2 and isinstance(values[2], str):
        names = (*names[:2], "force_size", *names[2:])
    return {name: value for name, value in zip(names, values, strict=False) if value is not None}
