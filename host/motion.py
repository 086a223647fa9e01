"""Put motion modules into a MODEL through the host's public hooks; nothing of the shared UNet is touched.

The temporal transformers run from a handler that the UNet calls in place of each spatial block and resnet: it runs the
block as it is and then the site that follows it. The motion weights travel as an additional model, which the host
loads, offloads and counts. What a call needs is worked out when it begins and handed down in its own options.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import comfy.model_base
import comfy.model_management
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..motion.files import read_motion_file
from ..motion.frame_scales import Slot
from ..motion.image_encoder import ImageEncoder
from ..motion.module import MotionConfig, MotionModule
from ..motion.trained import PAPERS, Trained
from ..samplers.schedules import Schedule
from .applied import Applied
from .checks import check_run
from .controls import Factor, StrengthControl, Video, acting_in, strength_in
from .fit import bare_blocks, check_fit
from .folders import MOTION_MODELS, listed_name
from .inserts import AfterBlock, Block, Insert
from .parts import PartSampler, video_of
from .patchers import KEY, attach, attached, held, layers_in
from .preview import show_clips
from .sampling import model_sampling_for
from .second_model import check_first, register
from .sites import sites_of
from .windows import Window, in_window, window_of

LAYER_PATCH = "forward_timestep_embed_patch"


@dataclass(frozen=True)
class LoadedMotion:
    """A motion file, ready to be applied: what the MOTION_MODULE socket carries."""

    name: str
    """File name, for messages."""
    family: str
    """What the file was recognised as."""
    schedule: str
    """Name of the noise schedule that the family was trained with."""
    config: MotionConfig
    patcher: ModelPatcher
    encoder: ModelPatcher | None = None
    """The image encoder of an image-to-video file."""
    controls: tuple[StrengthControl, ...] = ()
    """When and where it acts, and how strongly."""
    sampling: str | None = None
    """What to set in a sampler, for the user."""
    trained: Trained = PAPERS
    """How it was distilled."""
    slots: tuple[Slot, ...] = ()
    """Where the LoRAs are whose strength changes over the frames."""
    loras: tuple[Factor, ...] = ()
    """Their strengths."""

    def check_fixed(self) -> None:
        """Check that the weights act alike at all frames and steps, for what takes nothing else.

        Raises:
            ValueError: They do not.
        """
        if self.controls:
            raise ValueError(f"{self.name} comes from Motion Control, whose settings are no part of its weights and "
                             "can be neither saved nor trained. Connect the module as it was before Motion Control")
        if self.slots:
            raise ValueError(f"{self.name} has a motion LoRA with a strength that changes over the frames, which is no "
                             "part of its weights and can be neither saved nor trained. Leave strength_curve and "
                             "strength_values of Load Motion LoRA empty")


@dataclass(frozen=True)
class UNetCall:
    """What the handlers need during one call of the UNet."""

    num_frames: int
    """Frames of a clip; the batch holds one clip for each of its conditionings."""
    sites: dict[Block, list[AfterBlock]]
    """What runs after each UNet block, in order."""
    bare: frozenset[Block]
    """UNet blocks without a spatial transformer; their site follows the resnet."""


def load_motion(path: str | Path) -> LoadedMotion:
    """Read a motion file of any known family.

    Raises:
        MotionFileError: The file is none, or is damaged.
    """
    name = listed_name(MOTION_MODELS, path)
    file = read_motion_file(path, name)
    sample = next(iter(file.weights.values()))
    dtype = comfy.model_management.unet_dtype(
        model_params=sum(w.numel() for w in file.weights.values()), weight_dtype=sample.dtype)
    layers, encoder = layers_in(dtype), None
    patcher = held(partial(MotionModule, file.config, **layers), file.weights)
    if file.position_encoding is not None:
        patcher.model.set_positions(file.position_encoding)
    if file.image_encoder is not None:
        encoder = held(partial(ImageEncoder, file.config.channels, **layers), file.image_encoder)
    return LoadedMotion(name, file.family, file.schedule, file.config, patcher, encoder,
                        sampling=file.sampling, trained=file.trained)


def apply_motion(model: ModelPatcher, motion: LoadedMotion, strength: float, schedule: Schedule | None,
                 insert: Insert | None = None) -> ModelPatcher:
    """Return a clone of `model` whose UNet also runs `motion`.

    Args:
        strength: Factor on what the module adds; 1 is as trained.
        schedule: Noise schedule to sample with; None keeps the model's own.
        insert: What else changes the features, before the module does.

    Raises:
        ValueError: The motion module does not fit the model's UNet.
    """
    check_fit(model, motion.name, motion.family, motion.patcher.model)
    applied = model.clone()
    entry = Applied(attach(applied, KEY, motion.patcher), strength, insert, motion.controls, motion.loras)
    applied.model_options["transformer_options"][KEY] = (*applied_to(model), entry)
    if schedule is not None:
        applied.add_object_patch("model_sampling", model_sampling_for(model, schedule))
    _hook(applied)
    return applied


def in_phases_of(motion: LoadedMotion, schedule: Schedule) -> Schedule:
    """Return the schedule with the phases that a module was trained in; one without a distillation grid has none."""
    phases = motion.trained.phases
    return schedule if phases == 1 or schedule.original_steps is None else replace(schedule, phases=phases)


def applied_to(model: ModelPatcher) -> tuple[Applied, ...]:
    """Return the motion modules on a MODEL, in the order in which they act."""
    return model.model_options["transformer_options"].get(KEY, ())


def networks_on(model: ModelPatcher) -> list[MotionModule]:
    """Return the different networks of the motion modules on a MODEL."""
    return [attached(model, name) for name in dict.fromkeys(entry.network for entry in applied_to(model))]


def _hook(model: ModelPatcher) -> None:
    """Register the handlers, wrappers and callbacks, once however many modules are applied."""
    _put_handlers(model.model_options["transformer_options"])
    register(model, _begin_call, _put_handlers)
    for kind, wrapper in ((WrappersMP.OUTER_SAMPLE, _begin_sampling), (WrappersMP.PREPARE_SAMPLING, _announce_memory),
                          (WrappersMP.CALC_COND_BATCH, in_window), (WrappersMP.APPLY_MODEL, _begin_call)):
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)
    show_clips(model)


def _put_handlers(options: dict) -> None:
    patches = options.setdefault("patches", {})
    # The UNet asks only the first handler of a layer's class: ours come first and call the next one themselves.
    patches[LAYER_PATCH] = [*HANDLERS, *(entry for entry in patches.get(LAYER_PATCH, []) if entry not in HANDLERS)]


# At each call of the UNet.

def _begin_call(executor, x: Tensor, t: Tensor, c_concat=None, c_crossattn=None, control=None,
               transformer_options: dict | None = None, **conds) -> Tensor:
    """APPLY_MODEL wrapper: work out the call and hand it down in a copy of the options."""
    options = dict(transformer_options or {})
    base: comfy.model_base.BaseModel = executor.class_obj
    # The MODEL's own: the call's options are those of another one where a guider runs two.
    model, applied = base.current_patcher, applied_to(base.current_patcher)
    num_frames = len(x) // len(options.get("cond_or_uncond", [0]))
    for network in networks_on(model):
        _check_frames(num_frames, network.config.max_frames, window_of(options))
    sigmas = _noise_of(t[:num_frames], applied, window_of(options))
    shares = [(entry, acting_in(entry.controls, sigmas, base.model_sampling)) for entry in applied]
    acting = [entry for entry, share in shares if any(share)]
    networks = [attached(model, entry.network) for entry in acting]
    strengths = [strength_in(x, entry.strength, entry.controls, num_frames, options, share)
                 for entry, share in shares if any(share)]
    inserts = [entry.insert.sites(base, x, num_frames, options) if entry.insert else {} for entry in acting]
    scales = [entry.scales(x, num_frames, options) for entry in acting]
    bare = bare_blocks(base.diffusion_model) if acting else frozenset()
    options[UNetCall] = UNetCall(num_frames, sites_of(networks, strengths, inserts, scales), bare)
    return executor(x, t, c_concat, c_crossattn, control, options, **conds)


def _noise_of(t: Tensor, applied: tuple[Applied, ...], window: Window | None) -> list[float]:
    """Return the noise levels in a call, where a control asks for them: one, or one for each frame."""
    if not any(entry.controls for entry in applied):
        return [0.0]
    return t.tolist() if window is not None and window.rolling else [t.max().item()]


def run_options(network: MotionModule, unet: UNetModel, num_frames: int) -> dict:
    """Return the transformer_options that make a bare UNet run `network`; for training, where there is no sampling."""
    return {
        UNetCall: UNetCall(num_frames, sites_of([network], [1.0], [{}]), bare_blocks(unet)),
        "patches": {LAYER_PATCH: list(HANDLERS)},
    }


def _after_transformer(layer, x, emb, context, options, *rest) -> Tensor:
    x = _run_layer(layer, _after_transformer, x, emb, context, options, *rest)
    return _run_site(x, options)


def _after_resnet(layer, x, emb, context, options, *rest) -> Tensor:
    x = _run_layer(layer, _after_resnet, x, emb, context, options, *rest)
    return _run_site(x, options) if options["block"] in options[UNetCall].bare else x


def _run_site(x: Tensor, options: dict) -> Tensor:
    call: UNetCall = options[UNetCall]
    for site in call.sites.get(options["block"], ()):
        x = site(x, call.num_frames)
    return x


def _run_layer(layer, handler: Callable, x, emb, context, options, *rest) -> Tensor:
    """Run the layer as the UNet would without our handler: through another pack's, or by itself."""
    handlers = options["patches"][LAYER_PATCH]
    own = next(index for index, entry in enumerate(handlers) if entry[1] is handler)
    for kind, other in handlers[own + 1:]:
        if isinstance(layer, kind):
            return other(layer, x, emb, context, options, *rest)
    if isinstance(layer, ResBlock):
        return layer(x, emb)
    x = layer(x, context, options)
    if "transformer_index" in options:
        options["transformer_index"] += 1
    return x


HANDLERS = ((SpatialTransformer, _after_transformer), (ResBlock, _after_resnet))


# Before sampling.

def _begin_sampling(executor, noise: Tensor, latent_image: Tensor, sampler, sigmas: Tensor, noise_mask: Tensor | None,
                    *args, **kwargs) -> Tensor:
    """OUTER_SAMPLE wrapper: check what the run is given, and tell the calls how many frames there are."""
    guider = executor.class_obj
    # The guider works on a copy of the options that ends with the run.
    options = guider.model_options["transformer_options"]
    video = video_of(sampler, noise.shape)
    if isinstance(sampler, PartSampler):
        sampler.check(guider, sigmas)
        options[PartSampler] = sampler
    check_run(guider, video, noise_mask)
    for entry in applied_to(guider.model_patcher):
        entry.check(video)
    options[Video] = Video(video)
    return executor(noise, latent_image, sampler, sigmas, noise_mask, *args, **kwargs)


def _announce_memory(executor, model: ModelPatcher, noise_shape, conds, *args, **kwargs):
    """PREPARE_SAMPLING wrapper: widen the shape that the host's estimate is made from by our share of the activations.

    The width is changed, not the batch: context windows cut the batch to one window's after us.
    """
    check_first(model, applied_to)
    model_options = kwargs.get("model_options") or {}
    sampler = model_options.get("transformer_options", {}).get(PartSampler)
    if sampler is not None:
        noise_shape = [min(noise_shape[0], sampler.frames_per_call), *noise_shape[1:]]
    num_frames, height, width = noise_shape[0], noise_shape[-2], noise_shape[-1]
    handler = model_options.get("context_handler")
    if handler is not None:
        num_frames = min(num_frames, handler.context_length)
    item_size = comfy.model_management.dtype_size(model.model_dtype())
    # Two clips run together where there is guidance, and the modules of a site one after the other.
    ours = max((network.activation_bytes(num_frames, 2 * height * width, item_size, model.load_device.type)
                for network in networks_on(model)), default=0)
    ours += sum(entry.insert.kept_bytes(num_frames, height * width, item_size)
                for entry in applied_to(model) if entry.insert)
    theirs = model.model.memory_required([2 * num_frames, *noise_shape[1:]])
    return executor(model, [*noise_shape[:-1], math.ceil(width * (1 + ours / theirs))], conds, *args, **kwargs)


def _check_frames(num_frames: int, limit: int, window: Window | None) -> None:
    if num_frames <= limit:
        return
    if window is None:
        raise ValueError(f"the clip has {num_frames} frames, but the motion module knows at most {limit}. Make a "
                         "shorter clip, or put the node Long Video between the motion module and the sampler")
    raise ValueError(f"a context window has {num_frames} frames, but the motion module knows at most {limit}. Set its "
                     "context_length to 16, and switch the causal fix of Context Windows (Manual) off: it adds a frame")
