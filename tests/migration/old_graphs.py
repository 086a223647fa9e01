"""Graphs as people made them for other AnimateDiff packs, built from what those packs' nodes take and give.

They are small enough to run on the demo model: with `on_demo` its files stand where a user's would.
"""

from __future__ import annotations

import copy
from typing import Any

from animatelcm.migration.shapes import OLD_WIDGETS

OUTPUTS = {
    "CheckpointLoaderSimple": ("MODEL", "CLIP", "VAE"),
    "CheckpointLoaderSimpleWithNoiseSelect": ("MODEL", "CLIP", "VAE"),
    "LoraLoaderModelOnly": ("MODEL",), "CLIPTextEncode": ("CONDITIONING",), "KSampler": ("LATENT",),
    "EmptyLatentImage": ("LATENT",), "ADE_EmptyLatentImageLarge": ("LATENT",), "VAEDecode": ("IMAGE",),
    "VAEEncode": ("LATENT",), "LoadImage": ("IMAGE", "MASK"), "SolidMask": ("MASK",), "Reroute": ("*",),
    "CLIPVisionLoader": ("CLIP_VISION",), "PreviewImage": (), "ControlNetLoaderAdvanced": ("CONTROL_NET",),
    "ADE_AnimateDiffLoaderGen1": ("MODEL",), "ADE_AnimateDiffLoaderWithContext": ("MODEL",),
    "ADE_UseEvolvedSampling": ("MODEL",), "ADE_ApplyAnimateDiffModel": ("M_MODELS",),
    "ADE_ApplyAnimateDiffModelSimple": ("M_MODELS",), "ADE_ApplyAnimateLCMI2VModel": ("M_MODELS",),
    "ADE_LoadAnimateDiffModel": ("MOTION_MODEL_ADE",),
    "ADE_LoadAnimateLCMI2VModel": ("MOTION_MODEL_ADE", "MOTION_MODEL_ADE"), "ADE_UpscaleAndVAEEncode": ("LATENT",),
    "ADE_AnimateDiffLoRALoader": ("MOTION_LORA",), "ADE_MultivalDynamic": ("MULTIVAL",),
    "ADE_AnimateDiffUniformContextOptions": ("CONTEXT_OPTIONS",),
    "ADE_LoopedUniformContextOptions": ("CONTEXT_OPTIONS",),
    "ADE_StandardUniformContextOptions": ("CONTEXT_OPTIONS",), "ADE_BatchedContextOptions": ("CONTEXT_OPTIONS",),
    "ADE_StandardStaticContextOptions": ("CONTEXT_OPTIONS",), "ADE_ContextExtras_Set": ("CONTEXT_OPTIONS",),
    "ADE_AnimateDiffKeyframe": ("AD_KEYFRAMES",), "ADE_NoiseLayerAdd": ("NOISE_LAYERS",),
    "ADE_ApplyAnimateDiffModelWithCameraCtrl": ("M_MODELS",), "TimestepKeyframe": ("TIMESTEP_KEYFRAME",),
    "LatentKeyframe": ("LATENT_KEYFRAME",), "LatentKeyframeTiming": ("LATENT_KEYFRAME",),
    "LatentKeyframeGroup": ("LATENT_KEYFRAME",), "ADE_MultivalDynamicFloatInput": ("MULTIVAL",),
    "BatchValueSchedule": ("FLOAT", "INT"), "ADE_MultivalScaledMask": ("MULTIVAL",),
    "ADE_AnimateDiffSamplingSettings": ("SAMPLE_SETTINGS",), "ADE_AnimateDiffUnload": ("MODEL",),
    "IPAdapterModelLoader": ("IPADAPTER",), "IPAdapterApply": ("MODEL",),
    "VHS_LoadVideo": ("IMAGE", "INT", "AUDIO", "VHS_VIDEOINFO"), "VHS_VideoCombine": ("VHS_FILENAMES",),
    "BatchPromptSchedule": ("CONDITIONING", "CONDITIONING"),
    "ACN_AdvancedControlNetApply": ("CONDITIONING", "CONDITIONING", "MODEL"),
}
SIZE, FRAMES = 64, 12


class Old:
    """A graph being drawn, node by node."""

    def __init__(self, as_objects: bool = False) -> None:
        self.as_objects = as_objects
        self.nodes: list[dict[str, Any]] = []
        self.links: list[Any] = []

    def node(self, kind: str, inputs: dict[str, tuple[int, int]] | None = None, values: Any = (), **more: Any) -> int:
        """Add a node; its inputs are {name: (node, output)}."""
        number = len(self.nodes) + 1
        sockets = []
        for slot, (name, (source, output)) in enumerate((inputs or {}).items()):
            origin = self.nodes[source - 1]["outputs"][output]
            entry = [len(self.links) + 1, source, output, number, slot, origin["type"]]
            names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
            self.links.append(dict(zip(names, entry, strict=True)) if self.as_objects else entry)
            origin["links"].append(entry[0])
            sockets.append({"name": name, "type": origin["type"], "link": entry[0]})
        self.nodes.append({
            "id": number, "type": kind, "pos": [340 * number, 100], "size": {"0": 315, "1": 120}, "flags": {},
            "order": number - 1, "mode": 0, "inputs": sockets,
            "outputs": [{"name": name, "type": name, "links": []} for name in OUTPUTS.get(kind, ())],
            "properties": {"Node name for S&R": kind},
            "widgets_values": values if isinstance(values, dict) else list(values), **more})
        return number

    def start(self, kind: str = "CheckpointLoaderSimple") -> tuple[int, int, int]:
        """Add a checkpoint, a few-step LoRA and an empty prompt; return (checkpoint, MODEL's node, prompt)."""
        loader = self.node(kind, values=["sd15.safetensors", "sqrt_linear (AnimateDiff)"][:1 + ("Noise" in kind)])
        lora = self.node("LoraLoaderModelOnly", {"model": (loader, 0)}, ["lcm_lora.safetensors", 0.8])
        text = self.node("CLIPTextEncode", {"clip": (loader, 1)}, ["a penguin running left in the snow"])
        return loader, lora, text

    def end(self, loader: int, model: int, text: int, latent: int, *, positive: tuple[int, int] | None = None,
            denoise: float = 1.0, combine: Any = None, audio: tuple[int, int] | None = None) -> int:
        """Add a sampler, a decoder and what saves the video; return the sampler."""
        sampler = self.node("KSampler", {"model": (model, 0), "positive": positive or (text, 0), "negative": (text, 0),
                                         "latent_image": (latent, 0)},
                            [7, "fixed", 2, 1.0, "lcm", "sgm_uniform", denoise])
        images = self.node("VAEDecode", {"samples": (sampler, 0), "vae": (loader, 2)})
        self.node("VHS_VideoCombine", {"images": (images, 0)} | ({"audio": audio} if audio else {}),
                  combine or {"frame_rate": 8, "loop_count": 0, "filename_prefix": "AnimateDiff",
                              "format": "video/h264-mp4", "pix_fmt": "yuv420p", "crf": 19, "pingpong": False,
                              "save_output": True, "videopreview": {"hidden": False, "paused": False}})
        return sampler

    def saved(self) -> dict[str, Any]:
        """Return the file of the editor."""
        # The editor has two forms of files, of which the newer one has its links as objects.
        count = {"lastNodeId": len(self.nodes), "lastLinkId": len(self.links), "lastGroupId": 0, "lastRerouteId": 0}
        last = ({"version": 1, "state": count} if self.as_objects else
                {"version": 0.4, "last_node_id": len(self.nodes), "last_link_id": len(self.links)})
        return {"nodes": self.nodes, "links": self.links, "config": {}, **last,
                "groups": [{"title": "Motion", "bounding": [0, 0, 900, 400], "color": "#3f789e"}],
                "extra": {"ds": {"scale": 1.0, "offset": [0, 0]}}}


def gen1_uniform() -> dict[str, Any]:
    """The first generation's loader, with the oldest uniform windows, a motion LoRA and a motion scale."""
    old = Old()
    loader, model, text = old.start("CheckpointLoaderSimpleWithNoiseSelect")
    windows = old.node("ADE_AnimateDiffUniformContextOptions",
                       values=[8, 1, 2, "uniform", False, "flat", False, 0, 1, ""])
    lora = old.node("ADE_AnimateDiffLoRALoader", values=["v2_lora_PanLeft.ckpt", 0.7, ""])
    motion = old.node("ADE_AnimateDiffLoaderWithContext",
                      {"model": (model, 0), "context_options": (windows, 0), "motion_lora": (lora, 0)},
                      ["mm_sd_v15_v2.ckpt", "sqrt_linear (AnimateDiff)", 1.1, True, ""])
    latent = old.node("ADE_EmptyLatentImageLarge", values=[SIZE, SIZE, FRAMES])
    old.end(loader, motion, text, latent)
    return old.saved()


def gen2_looped() -> dict[str, Any]:
    """The second generation, with looped windows, FreeNoise from sample settings and percents."""
    old = Old()
    loader, model, text = old.start()
    file = old.node("ADE_LoadAnimateDiffModel", values=["AnimateLCM_sd15_t2v.ckpt", ""])
    applied = old.node("ADE_ApplyAnimateDiffModel", {"motion_model": (file, 0)}, [0, 0.9, ""])
    windows = old.node("ADE_LoopedUniformContextOptions", values=[8, 1, 4, True, "pyramid", False, 0, 1])
    settings = old.node("ADE_AnimateDiffSamplingSettings", values=[0, "FreeNoise", "comfy", 0, False, ""])
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (applied, 0),
                                                 "context_options": (windows, 0), "sample_settings": (settings, 0)},
                      ["autoselect"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, FRAMES])
    old.end(loader, motion, text, latent, combine={
        "frame_rate": 8, "loop_count": 0, "filename_prefix": "loop", "format": "image/gif", "pingpong": True,
        "save_output": True})
    return old.saved()


def gen2_multivals() -> dict[str, Any]:
    """Scale and effect multivals, one with a mask, static windows behind a reroute, links as objects."""
    old = Old(as_objects=True)
    loader, model, text = old.start()
    file = old.node("ADE_LoadAnimateDiffModel", values=["v3_sd15_mm.ckpt"])
    mask = old.node("SolidMask", values=[0.5, SIZE, SIZE])
    scale = old.node("ADE_MultivalDynamic", values=[1.15, ""])
    effect = old.node("ADE_MultivalDynamic", {"mask_optional": (mask, 0)}, [0.8, ""])
    applied = old.node("ADE_ApplyAnimateDiffModelSimple", {"motion_model": (file, 0), "scale_multival": (scale, 0),
                                                           "effect_multival": (effect, 0)}, [""])
    windows = old.node("ADE_StandardStaticContextOptions", values=[8, 2, "pyramid", False, 0, 1])
    bend = old.node("Reroute", {"": (windows, 0)})
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (applied, 0),
                                                 "context_options": (bend, 0)}, ["lcm"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, FRAMES])
    old.end(loader, motion, text, latent, combine=[8, 0, "scaled", "video/webm", False, True, None])
    return old.saved()


def ip_adapter() -> dict[str, Any]:
    """A picture's style by the node that IP-Adapter had first, before a loader of the first generation."""
    old = Old()
    loader, model, text = old.start()
    adapter = old.node("IPAdapterModelLoader", values=["ip-adapter-plus_sd15.safetensors"])
    vision = old.node("CLIPVisionLoader", values=["clip_vision.safetensors"])
    image = old.node("LoadImage", values=["demo_image.png", "image"])
    styled = old.node("IPAdapterApply", {"ipadapter": (adapter, 0), "clip_vision": (vision, 0), "image": (image, 0),
                                         "model": (model, 0)}, [0.8, 0.3, "original", 0, 1, False])
    motion = old.node("ADE_AnimateDiffLoaderGen1", {"model": (styled, 0)}, ["AnimateLCM_sd15_t2v.ckpt", "lcm"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, 8])
    old.end(loader, motion, text, latent)
    return old.saved()


def video_to_video() -> dict[str, Any]:
    """A loaded video, cut and scaled, drawn anew with its sound, and a second look without motion."""
    old = Old()
    loader, model, text = old.start()
    video = old.node("VHS_LoadVideo", values={
        "video": "demo_clip.mp4", "force_rate": 0, "force_size": "Custom", "custom_width": SIZE, "custom_height": SIZE,
        "frame_load_cap": 8, "skip_first_frames": 2, "select_every_nth": 1})
    latent = old.node("VAEEncode", {"pixels": (video, 0), "vae": (loader, 2)})
    file = old.node("ADE_LoadAnimateDiffModel", values=["AnimateLCM_sd15_t2v.ckpt"])
    applied = old.node("ADE_ApplyAnimateDiffModelSimple", {"motion_model": (file, 0)})
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (applied, 0)},
                      ["lcm avg(sqrt_linear,linear)"])
    sampler = old.end(loader, motion, text, latent, denoise=0.6)
    plain = old.node("ADE_AnimateDiffUnload", {"model": (motion, 0)})
    old.end(loader, plain, text, sampler, denoise=0.5)
    return old.saved()


def image_to_video() -> dict[str, Any]:
    """An image that AnimateLCM-I2V animates."""
    old = Old()
    loader, model, text = old.start()
    image = old.node("LoadImage", values=["demo_image.png", "image"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, 8])
    reference = old.node("ADE_UpscaleAndVAEEncode", {"image": (image, 0), "vae": (loader, 2),
                                                     "latent_size": (latent, 0)}, ["lanczos", "center"])
    file = old.node("ADE_LoadAnimateLCMI2VModel", values=["AnimateLCM_sd15_i2v.ckpt"])
    applied = old.node("ADE_ApplyAnimateLCMI2VModel", {"motion_model": (file, 0), "ref_latent": (reference, 0)},
                       [0.4, False, 0, 1, ""])
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (applied, 0)}, ["use existing"])
    old.end(loader, motion, text, latent)
    return old.saved()


def prompt_travel() -> dict[str, Any]:
    """Prompts over the frames, two motion modules for two parts of the steps, and a ControlNet of another pack."""
    old = Old()
    loader, model, text = old.start()
    travel = old.node("BatchPromptSchedule", {"clip": (loader, 1)},
                      ['"0": "a dog running left in a meadow",\n"7": "a dog running left in the snow"', 8, False, 0, 0])
    fade = old.node("LatentKeyframeTiming", values=[2, 6, 1.0, 0.25, "linear", False])
    keys = old.node("TimestepKeyframe", {"latent_keyframe": (fade, 0)}, [0.0, 1.0, 0.1, True, 1])
    net = old.node("ControlNetLoaderAdvanced", {"tk_optional": (keys, 0)}, ["control.safetensors"])
    image = old.node("LoadImage", values=["demo_image.png", "image"])
    control = old.node("ACN_AdvancedControlNetApply", {
        "positive": (travel, 0), "negative": (text, 0), "control_net": (net, 0), "image": (image, 0)}, [0.7, 0, 0.8])
    file = old.node("ADE_LoadAnimateDiffModel", values=["AnimateLCM_sd15_t2v.ckpt"])
    first = old.node("ADE_ApplyAnimateDiffModel", {"motion_model": (file, 0)}, [0, 0.5])
    second = old.node("ADE_ApplyAnimateDiffModel", {"motion_model": (file, 0), "prev_m_models": (first, 0)}, [0.5, 1])
    windows = old.node("ADE_StandardUniformContextOptions", values=[6, 1, 2, "flat", False, 0, 1])
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (second, 0),
                                                 "context_options": (windows, 0)}, ["sqrt_linear (AnimateDiff)"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, 8])
    old.end(loader, motion, text, latent, positive=(control, 0))
    return old.saved()


GRAPHS = {graph.__name__: graph for graph in
          (gen1_uniform, gen2_looped, gen2_multivals, ip_adapter, video_to_video, image_to_video, prompt_travel)}

DEMO_FILES = {
    "AnimateLCM_sd15_t2v.ckpt": "AnimateLCM_demo_t2v.safetensors",
    "AnimateLCM_sd15_i2v.ckpt": "AnimateLCM_demo_i2v.safetensors",
    "mm_sd_v15_v2.ckpt": "AnimateLCM_demo_t2v.safetensors",
    "v3_sd15_mm.ckpt": "AnimateLCM_demo_t2v.safetensors",
    "lcm_lora.safetensors": "AnimateLCM_demo_lora.safetensors",
    "control.safetensors": "AnimateLCM_demo_layout.safetensors",
    "v2_lora_PanLeft.ckpt": "AnimateLCM_demo_sway.safetensors",
}
"""{a file that a user has: the demo's of the same kind}."""


def on_demo(prompt: dict[str, Any]) -> dict[str, Any]:
    """Return a prompt with the demo's files in the place of a user's, and its model in that of a checkpoint."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if node["class_type"].startswith("CheckpointLoaderSimple"):
            node |= {"class_type": "AnimateLCM_LoadDemoModel", "inputs": {}}
        node["inputs"] = {name: DEMO_FILES.get(value, value) if isinstance(value, str) else value
                          for name, value in node["inputs"].items()}
    return prompt


def as_prompt(graph: dict[str, Any]) -> dict[str, Any]:
    """Return a graph of this file as its export in API format, as the packs it was made for would give it."""
    known = OLD_WIDGETS | {
        "CheckpointLoaderSimple": ("ckpt_name",), "LoraLoaderModelOnly": ("lora_name", "strength_model"),
        "CLIPTextEncode": ("text",), "SolidMask": ("value", "width", "height"), "LoadImage": ("image",),
        "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
        "IPAdapterModelLoader": ("ipadapter_file",), "CLIPVisionLoader": ("clip_name",),
        "IPAdapterApply": ("weight", "noise", "weight_type", "start_at", "end_at", "unfold_batch"),
    }
    origins = {}
    for link in graph["links"]:
        entry = list(link.values()) if isinstance(link, dict) else link
        origins[entry[0]] = [str(entry[1]), entry[2]]
    bends = {str(node["id"]): origins[node["inputs"][0]["link"]] for node in graph["nodes"]
             if node["type"] == "Reroute"}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] == "Reroute":
            continue
        values = node["widgets_values"]
        inputs = values if isinstance(values, dict) else dict(zip(known.get(node["type"], ()), values, strict=False))
        inputs = {name: value for name, value in inputs.items() if name}
        for socket in node["inputs"]:
            origin = origins[socket["link"]]
            inputs[socket["name"]] = bends.get(origin[0], origin)
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node["type"]}}
    return prompt
