"""Write stand-ins for the real files: right in keys, shapes and precision, with seeded random values.

    python standalone.py tools.benchmarks.standins FOLDER

FOLDER is a ComfyUI models folder; it gets a Stable Diffusion 1.5 checkpoint (UNet, VAE, CLIP), and AnimateLCM's spatial
LoRAs and motion modules for text and for images, 4.5 GB in float16. Activations stay finite, the pictures show nothing.
The same seeds give the same files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...storage.atomic import replacing
from .bench import UNET_CONFIG
from .fill import stand_in

VAE_CONFIG = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
              "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
LORA_RANK, LORA_ALPHA = 64, 8.0
Shapes = dict[str, torch.Size]


def checkpoint_shapes() -> Shapes:
    """Return the tensors of v1-5-pruned-emaonly, from the host's own classes."""
    import comfy.clip_model
    import comfy.ops
    import comfy.sd1_clip
    from comfy.ldm.models.autoencoder import AutoencoderKL

    text_config = json.loads(Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json").read_text("utf-8"))
    with torch.device("meta"):
        parts = {
            "model.diffusion_model.": bare_unet(),
            "first_stage_model.": AutoencoderKL(ddconfig=VAE_CONFIG, embed_dim=4),
            "cond_stage_model.transformer.": comfy.clip_model.CLIPTextModel(
                text_config, torch.float32, "meta", comfy.ops.disable_weight_init),
        }
    shapes = {prefix + key: tensor.shape for prefix, part in parts.items() for key, tensor in part.state_dict().items()}
    # Stable Diffusion 1.5 has none; the host's class is that of later models too.
    del shapes["cond_stage_model.transformer.text_projection.weight"]
    return shapes


def bare_unet():
    """Return the UNet of Stable Diffusion 1.5 without weights, on the meta device."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(**UNET_CONFIG, num_heads=8, num_head_channels=-1, device="meta",
                     operations=comfy.ops.disable_weight_init)


def motion_shapes() -> Shapes:
    """Return the tensors of AnimateLCM_sd15_t2v, which has no position tables."""
    from ...motion.formats import ANIMATEDIFF
    from ...motion.module import MotionConfig, MotionModule

    with torch.device("meta"):
        module = MotionModule(MotionConfig())
    shapes: Shapes = {}
    for key, tensor in module.state_dict().items():
        names = ANIMATEDIFF.file_keys(key)
        shapes |= dict.fromkeys(names, torch.Size((tensor.shape[0] // len(names), *tensor.shape[1:])))
    return shapes


def image_to_video_shapes() -> Shapes:
    """Return the tensors of AnimateLCM_sd15_i2v: a motion module and its image encoder."""
    from ...motion.formats import IMAGE_ENCODER
    from ...motion.image_encoder import ImageEncoder
    from ...motion.module import MotionConfig

    with torch.device("meta"):
        encoder = ImageEncoder(MotionConfig().channels).state_dict()
    return motion_shapes() | {IMAGE_ENCODER + key: tensor.shape for key, tensor in encoder.items()}


def lora_shapes() -> Shapes:
    """Return the tensors of a LoRA of every matrix and convolution of the UNet, with kohya's keys."""
    import comfy.utils

    weights = bare_unet().state_dict()
    shapes = {}
    for name, key in comfy.utils.unet_to_diffusers(UNET_CONFIG).items():
        # The host's table also names the parts that only some resnets have.
        if name.endswith(".weight") and key in weights and weights[key].ndim > 1:
            target, (rows, *rest) = "lora_unet_" + name.removesuffix(".weight").replace(".", "_"), weights[key].shape
            shapes[f"{target}.alpha"] = torch.Size()
            shapes[f"{target}.lora_down.weight"] = torch.Size((LORA_RANK, *rest))
            shapes[f"{target}.lora_up.weight"] = torch.Size((rows, LORA_RANK, *(1 for _ in rest[1:])))
    return shapes


def values(shapes: Mapping[str, torch.Size], seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield stand-in values in float16."""
    generator = torch.Generator().manual_seed(seed)
    for key, shape in shapes.items():
        if key.endswith(".alpha"):
            yield key, torch.tensor(LORA_ALPHA, dtype=torch.float16)
        else:
            yield key, stand_in(key, shape, generator).half().clone()


FILES: dict[str, tuple[Callable[[], Shapes], int]] = {
    "checkpoints/v1-5-pruned-emaonly-fp16.safetensors": (checkpoint_shapes, 1),
    "loras/AnimateLCM_sd15_t2v_lora.safetensors": (lora_shapes, 2),
    "animatediff_models/AnimateLCM_sd15_t2v.ckpt": (motion_shapes, 3),
    "loras/AnimateLCM_sd15_i2v_lora.safetensors": (lora_shapes, 4),
    "animatediff_models/AnimateLCM_sd15_i2v.ckpt": (image_to_video_shapes, 5),
}
"""Names as in the example workflows: {file in the models folder: (its tensors, seed)}."""


def write(models: Path) -> None:
    """Write the files that are not there yet; each appears complete or not at all."""
    for name, (shapes, seed) in FILES.items():
        path = models / name
        if path.is_file():
            continue
        print(f"writing the stand-in {path}", flush=True)
        tensors = dict(values(shapes(), seed))
        with replacing(path) as unfinished:
            if path.suffix == ".ckpt":
                torch.save({"state_dict": tensors}, unfinished)
            else:
                save_file(tensors, unfinished, {"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, help="a ComfyUI models folder, not one with real models in it")
    write(parser.parse_args().models)


if __name__ == "__main__":
    main()
