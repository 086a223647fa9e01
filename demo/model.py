"""The demo model behind the host's interfaces: a MODEL, CLIP and VAE in miniature, built from the host's own classes.

Stock nodes (CLIPTextEncode, KSampler, VAEDecode, ...) work on what this module returns.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.latent_formats
import comfy.ldm.models.autoencoder
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import torch
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from safetensors.torch import load_file
from torch import Tensor, nn

from ..training.seeds import seeded
from .autoencoder import Autoencoder
from .files import WEIGHTS
from .network import END, NUM_HEADS, START, TEXT, UNET
from .tokenizer import CONTEXT_DIM, MAX_TOKENS, WordTokenizer

SAMPLING = {"beta_schedule": "sqrt_linear", "linear_start": 0.00085, "linear_end": 0.012}
"""AnimateDiff's schedule, linear in beta, which the host calls "sqrt_linear"."""

BLANK_VAE = {"embed_dim": 4, "ddconfig": {
    "double_z": True, "z_channels": 4, "resolution": 32, "in_channels": 3, "out_ch": 3, "ch": 32,
    "ch_mult": [1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0}}


class DemoLatent(comfy.latent_formats.SD15):
    """The latents of the demo model's codec, which previews show in colours of their own."""

    def __init__(self, rgb_factors: list[list[float]] | None = None, rgb_bias: list[float] | None = None) -> None:
        super().__init__()
        if rgb_factors is not None:
            self.latent_rgb_factors: list[list[float]] = rgb_factors
            self.latent_rgb_factors_bias = rgb_bias
        # A preview decoder of Stable Diffusion's would draw other things.
        self.taesd_decoder_name = None


class TinySD15(comfy.supported_models.SD15):
    """SD1.5 in miniature; it predicts v, so that a small error at high noise stays a small error in the image."""

    unet_config = UNET
    latent_format = DemoLatent
    unet_extra_config = {"num_heads": NUM_HEADS, "num_head_channels": -1}
    sampling_settings = SAMPLING

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION


class TinyTextModel(comfy.clip_model.CLIPTextModel):
    """The host's CLIP text model with this world's few words in place of 49,408 tokens."""

    def __init__(self, config: dict, dtype, device, operations) -> None:
        super().__init__(config, dtype, device, operations)
        self.text_model.embeddings.token_embedding = operations.Embedding(
            config["vocab_size"], config["hidden_size"], dtype=dtype, device=device)


class TinyClipModel(comfy.sd1_clip.SD1ClipModel):
    """What `comfy.sd.CLIP` holds: the text model under the name that SD1.5 gives it."""

    def __init__(self, device="cpu", dtype=None, model_options=None) -> None:
        super().__init__(
            device=device, dtype=dtype, model_options=model_options or {},
            clip_model=partial(
                comfy.sd1_clip.SDClipModel, max_length=MAX_TOKENS, textmodel_json_config=dict(TEXT),
                model_class=TinyTextModel, special_tokens={"start": START, "end": END, "pad": END},
                return_projected_pooled=False))


class TinyTokenizer(comfy.sd1_clip.SD1Tokenizer):
    """The host's tokenizer (weights, long prompts) over this world's words."""

    def __init__(self, embedding_directory=None, tokenizer_data=None) -> None:
        super().__init__(
            embedding_directory=embedding_directory, tokenizer_data=tokenizer_data or {},
            tokenizer=partial(
                comfy.sd1_clip.SDTokenizer, tokenizer_path="", tokenizer_class=WordTokenizer,
                max_length=MAX_TOKENS, embedding_size=CONTEXT_DIM))


def new_unet(seed: int, config: dict = UNET, num_heads: int = NUM_HEADS) -> UNetModel:
    """Build the untrained UNet in float32, initialised as torch initialises its layers."""
    unet = UNetModel(**config, num_heads=num_heads, num_head_channels=-1, dtype=torch.float32,
                     operations=comfy.ops.disable_weight_init)
    _initialise(unet, seed)
    # Every residual branch starts at zero, so that the network starts as the identity.
    for name, parameter in unet.named_parameters():
        if name.startswith("out.2.") or ".out_layers.3." in name or ".proj_out." in name:
            nn.init.zeros_(parameter)
    return unet


def new_control_net(unet: UNetModel, seed: int, config: dict = UNET) -> ControlNet:
    """Build the untrained ControlNet of a UNet: a copy of its encoder, tied to it by zeros (Zhang et al. 2023)."""
    config = {name: value for name, value in config.items() if name != "out_channels"}
    control_net = ControlNet(**config, hint_channels=3, num_heads=NUM_HEADS, num_head_channels=-1, dtype=torch.float32,
                             operations=comfy.ops.disable_weight_init)
    _initialise(control_net, seed)
    control_net.load_state_dict(unet.state_dict(), strict=False)
    last = control_net.input_hint_block[-1]
    for layer in (*control_net.zero_convs, control_net.middle_block_out, last):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return control_net


def new_text_model(seed: int, config: dict = TEXT) -> TinyTextModel:
    """Build the untrained text encoder in float32."""
    text = TinyTextModel(dict(config), torch.float32, "cpu", comfy.ops.disable_weight_init)
    _initialise(text, seed)
    return text


def _initialise(module: nn.Module, seed: int) -> None:
    """Give every layer torch's own initial values; the host's operations leave them unset."""
    kinds: tuple[Any, ...] = (nn.Linear, nn.Conv2d, nn.Embedding, nn.GroupNorm, nn.LayerNorm)
    with seeded(seed):
        for layer in module.modules():
            for kind in kinds:
                if isinstance(layer, kind):
                    kind.reset_parameters(layer)


def load_model(unet_weights: dict[str, Tensor], latent_format: DemoLatent, disable_dynamic: bool = False
               ) -> comfy.model_patcher.ModelPatcher:
    """Return the MODEL whose UNet has these weights."""
    load_device = comfy.model_management.get_torch_device()
    config = TinySD15(UNET)
    config.latent_format = latent_format
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=None)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=load_device, offload_device=comfy.model_management.unet_offload_device())
    model.diffusion_model.load_state_dict(unet_weights, strict=True)
    return patcher


def load_clip(text_weights: dict[str, Tensor]) -> comfy.sd.CLIP:
    """Return the CLIP whose text model has these weights."""
    target = comfy.supported_models_base.ClipTarget(TinyTokenizer, TinyClipModel)
    clip = comfy.sd.CLIP(target, parameters=sum(w.numel() for w in text_weights.values()))
    clip.cond_stage_model.clip_l.transformer.load_state_dict(text_weights, strict=False)
    return clip


class TinyVAE(comfy.sd.VAE):
    """The host's VAE around the world's codec.

    The host builds a VAE only around classes that it knows: it sets up a blank one, whose place the codec then takes.
    """

    def __init__(self, codec_weights: dict[str, Tensor]) -> None:
        blank = comfy.ldm.models.autoencoder.AutoencoderKL(**BLANK_VAE)
        super().__init__(sd=blank.state_dict(), config={"params": BLANK_VAE})
        self.first_stage_model = Autoencoder(ops=comfy.ops.manual_cast).to(self.vae_dtype).eval().requires_grad_(False)
        self.first_stage_model.load_state_dict(codec_weights)
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            self.first_stage_model, load_device=self.device,
            offload_device=comfy.model_management.vae_offload_device())
        self.size = comfy.model_management.module_size(self.first_stage_model)


def load_demo_model(weights: Path = WEIGHTS, disable_dynamic: bool = False
                    ) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Return the MODEL, CLIP and VAE of the embedded demo model.

    Args:
        weights: Folder of another one, such as a training makes.
        disable_dynamic: Whether the host asks for a copy without dynamic loading.

    Raises:
        FileNotFoundError: A file of the weights is missing.
    """
    unet, text, codec = (_read(weights / f"{name}.safetensors") for name in ("unet", "text", "codec"))
    shown = DemoLatent(codec["rgb_factors"].tolist(), codec["rgb_bias"].tolist())
    model = load_model(unet, shown, disable_dynamic)
    # The host asks for it when it needs the weights on another device: the first of what is returned.
    model.cached_patcher_init = (load_demo_model, (weights,), 0)
    return model, load_clip(text), TinyVAE(codec)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"the demo model's {path.name} is missing from {path.parent}; install the pack again")
    return {key: value.float() for key, value in load_file(path).items()}
