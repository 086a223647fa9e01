"""What does not belong together is refused before the UNet is called, in words that docs/errors.md repeats."""

import re
from pathlib import Path
from types import SimpleNamespace

import comfy.model_patcher
import comfy.model_sampling
import comfy.sample
import comfy.supported_models
import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.host.folders import register_folders
from animatelcm.host.motion import apply_motion
from animatelcm.nodes.controls import MotionControl
from animatelcm.nodes.image_to_video import ImageToVideo
from animatelcm.nodes.long_video import LongVideo
from animatelcm.nodes.motion import ApplyMotionModule
from animatelcm.nodes.prompts import PromptSchedule
from animatelcm.nodes.sampling import Sampler, Scheduler
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import controls, probe, snapshots
from animatelcm.tests.host.sampling_routes import with_sampling
from animatelcm.tests.support import (
    IMAGE_TO_VIDEO,
    UNET_CONFIG,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    record_calls,
    run,
    tiny_model,
    with_windows,
)
from comfy.model_management import get_torch_device
from comfy_extras.nodes_custom_sampler import BasicGuider, RandomNoise, SamplerCustomAdvanced
from comfy_extras.nodes_sag import SelfAttentionGuidance

from nodes import ConditioningSetMask

register_folders()
PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
FRAMES = 4


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """Everything that a workflow is made of, and the calls of the UNet; in the end all is as it was."""
    folder, model = tmp_path_factory.mktemp("motion"), tiny_model()
    calls = record_calls(model)
    watch = snapshots.Watch(model)
    yield SimpleNamespace(
        model=model, options=watch.options, calls=calls, text=loaded_motion(folder),
        image=loaded_image_to_video(folder), vae=demo_model.load_demo_model()[2])
    watch.check()


class OtherVAE:
    """Stands for the VAE of another family; or, without a shape, for one that must not be asked."""

    def __init__(self, *shape):
        self.shape = shape

    def encode(self, images):
        assert self.shape, "the image was encoded before the refusal"
        return torch.ones(self.shape)


def other_model(kind, **config):
    """Return a MODEL of another family, with a UNet of few channels."""
    known = kind(UNET_CONFIG | {"model_channels": 64} | config)
    known.set_inference_dtype(torch.float32, None)
    device = get_torch_device()
    return comfy.model_patcher.CoreModelPatcher(known.get_model({}), load_device=device, offload_device=device)


def sdxl():
    return other_model(
        comfy.supported_models.SDXL, channel_mult=(1, 2, 4), num_res_blocks=[2, 2, 2], num_classes="sequential",
        transformer_depth=[0, 0, 1, 1, 1, 1], transformer_depth_output=[0, 0, 0, 1, 1, 1, 1, 1, 1], adm_in_channels=64,
        use_linear_in_transformer=True, num_head_channels=64, num_heads=-1)


def sd2():
    """Of the channels that the motion modules of the tests have."""
    return other_model(comfy.supported_models.SD20, model_channels=32, use_linear_in_transformer=True)


def flow_model(kit):
    return with_sampling(kit.model, comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST)


def defaults(node):
    return {socket.id: socket.default for socket in node.define_schema().inputs
            if getattr(socket, "default", None) is not None}


def apply(kit, model=None, motion=None):
    return ApplyMotionModule.execute(model or kit.model, motion or kit.text, 1.0, "auto").result[0]


def animate(kit, images=1, **changes):
    """Run Image to Video; return MODEL and LATENT."""
    given = defaults(ImageToVideo) | {
        "model": kit.model, "motion_module": kit.image, "vae": OtherVAE(), "width": 64, "height": 64,
        "num_frames": FRAMES, "reference_image": torch.rand(images, 64, 64, 3)}
    return ImageToVideo.execute(**given | changes).result


def long_video(model, **changes):
    return LongVideo.execute(**defaults(LongVideo) | {"model": model} | changes).result[0]


def sample(model, *shape, cfg=1.5, positive=None, negative=None):
    """Sample a latent of any shape that holds something, as KSampler does."""
    latent = comfy.sample.fix_empty_latent_channels(model, torch.ones(shape or (FRAMES, 4, 8, 8)))
    return comfy.sample.sample(
        model, comfy.sample.prepare_noise(latent, 0), 2, cfg, "lcm", "simple", positive or conditioning(1),
        negative or conditioning(2), latent, disable_pbar=True, seed=0)


def with_our_sampler(model):
    """Sample with the AnimateLCM Sampler and the noise levels of another scheduler."""
    latent = {"samples": torch.zeros(FRAMES, 4, 8, 8)}
    return SamplerCustomAdvanced.execute(
        RandomNoise.execute(0)[0], BasicGuider.execute(model, conditioning(1))[0], Sampler.execute(1.0)[0],
        torch.tensor([1.0, 0.5, 0.0]), latent)


def moved(kit, curve="", mask=None):
    return apply(kit, motion=MotionControl.execute(kit.text, 0.0, 1.0, curve, mask).result[0])


def sample_with_hints(kit, count, **settings):
    positive, negative = controls.controlled(controls.control_net(), controls.hints(count))
    return sample(apply(kit), positive=positive, negative=negative, **settings)


def masked(count):
    return ConditioningSetMask().append(conditioning(1), torch.rand(count, 64, 64), "default", 1.0)[0]


def sample_with_noise_masks(kit, cfg):
    latent = torch.ones(6, 4, 8, 8)
    masks = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    return comfy.sample.sample(apply(kit), latent, 2, cfg, "lcm", "simple", conditioning(1), conditioning(2), latent,
                               noise_mask=masks, disable_pbar=True, seed=0)


def sample_prompts(kit, count, **settings):
    return sample(apply(kit), positive=probe.prompts(count), **settings)


SDXL = "was made for Stable Diffusion 1.5, the MODEL is SDXL"
LATENT = "this MODEL takes (frames, 4, height, width)"
REFERENCES = "reference images for a video of 4 frames"
AT_ONCE = {
    "a text-to-video file in Image to Video":
        (lambda kit: animate(kit, motion_module=kit.text), "has no image encoder and cannot follow a reference image"),
    "SDXL in Apply Motion Module": (lambda kit: apply(kit, sdxl()), SDXL),
    "SDXL in Image to Video": (lambda kit: animate(kit, model=sdxl()), SDXL),
    "SDXL in Long Video": (lambda kit: long_video(sdxl()), "has no motion module"),
    "Stable Diffusion 2, whose channels are the same":
        (lambda kit: apply(kit, sd2()), "the MODEL is SD20"),
    "a flow model in Apply Motion Module":
        (lambda kit: apply(kit, flow_model(kit)), "which has no noise schedule in 1000 timesteps"),
    "a flow model in Image to Video":
        (lambda kit: animate(kit, model=flow_model(kit), vae=kit.vae), "which has no noise schedule in 1000 timesteps"),
    "a flow model in AnimateLCM Scheduler":
        (lambda kit: Scheduler.execute(flow_model(kit), 4, 1.0), "which has no timesteps"),
    "a VAE of 16 channels in Image to Video":
        (lambda kit: animate(kit, vae=OtherVAE(1, 16, 8, 8)), "the image encoder takes 4 channels"),
    "a video VAE in Image to Video":
        (lambda kit: animate(kit, vae=OtherVAE(1, 16, 1, 8, 8)), "the image encoder takes 4 channels"),
    "no reference image": (lambda kit: animate(kit, 0), REFERENCES),
    "too few reference images": (lambda kit: animate(kit, FRAMES - 1), REFERENCES),
    "too many reference images": (lambda kit: animate(kit, FRAMES + 1), REFERENCES),
    "no frames in Image to Video": (lambda kit: animate(kit, num_frames=0), "it needs at least 1"),
    "an odd size in Image to Video":
        (lambda kit: animate(kit, width=333, height=517), "both have to be multiples of 8, from 64 on"),
    "no size in Image to Video": (lambda kit: animate(kit, width=0), "both have to be multiples of 8, from 64 on"),
    "context windows before Long Video":
        (lambda kit: long_video(with_windows(apply(kit))), "has context windows already"),
    "windows that are too long":
        (lambda kit: long_video(apply(kit), context_length=65), "the motion module knows at most 64"),
    "windows that share all": (lambda kit: long_video(apply(kit), context_overlap=16), "cannot share 16"),
    "windows that leave frames out":
        (lambda kit: long_video(apply(kit), context_overlap=-1), "cannot share fewer than none"),
    "prompts without frames": (lambda kit: PromptSchedule.execute(object(), "0: x", 0, "linear"),
                               "num_frames is 0; a video has at least 1 frame"),
    "no steps": (lambda kit: Scheduler.execute(kit.model, 0, 1.0), "steps is 0; expected 1 or more"),
    "more steps than timesteps":
        (lambda kit: Scheduler.execute(apply(kit), 50, 0.4), "this schedule has only 100 timesteps"),
    "a mask without values": (lambda kit: moved(kit, mask=torch.ones(0, 8, 8)), "expected (masks, height, width)"),
}
"""What the nodes refuse: {what is wrong: (how a user comes to it, words of the message)}."""

IN_SAMPLING = {
    "a latent of 16 channels": (lambda kit, cfg: sample(apply(kit), FRAMES, 16, 8, 8, cfg=cfg), LATENT),
    "a latent of 3 channels": (lambda kit, cfg: sample(apply(kit), FRAMES, 3, 8, 8, cfg=cfg), LATENT),
    "a latent of a video model": (lambda kit, cfg: sample(apply(kit), 1, 4, 3, 8, 8, cfg=cfg), LATENT),
    "a latent without frames": (lambda kit, cfg: sample(apply(kit), 0, 4, 8, 8, cfg=cfg), "the latent has no frames"),
    "a latent of 16 channels with a reference":
        (lambda kit, cfg: sample(animate(kit, vae=kit.vae)[0], FRAMES, 16, 8, 8, cfg=cfg), LATENT),
    "a latent without frames with a reference":
        (lambda kit, cfg: sample(animate(kit, vae=kit.vae)[0], 0, 4, 8, 8, cfg=cfg), "the latent has no frames"),
    "another size than the reference's":
        (lambda kit, cfg: sample(animate(kit, vae=kit.vae)[0], FRAMES, 4, 8, 16, cfg=cfg), "the reference image of"),
    "another number of frames than references":
        (lambda kit, cfg: sample(animate(kit, FRAMES, vae=kit.vae)[0], 6, 4, 8, 8, cfg=cfg),
         "was given 4 reference images"),
    "more frames than the module knows":
        (lambda kit, cfg: sample(apply(kit), 65, 4, 8, 8, cfg=cfg), "the motion module knows at most 64"),
    "windows over the height":
        (lambda kit, cfg: sample(cut_over_height(kit), cfg=cfg), "the frames of this MODEL are dimension 0"),
    "a loop that fits into one window":
        (lambda kit, cfg: sample(long_video(apply(kit), loop=True), cfg=cfg), "a loop needs more frames than a window"),
    "a loop of one frame": (lambda kit, cfg: sample(long_video(apply(kit), loop=True), 1, 4, 8, 8, cfg=cfg),
                            "a loop needs more frames than a window"),
    "too few hints": (lambda kit, cfg: sample_with_hints(kit, FRAMES - 1, cfg=cfg), "was given 3 images"),
    "too few noise masks": (lambda kit, cfg: sample_with_noise_masks(kit, cfg), "its noise masks start over after 3"),
    "too few masks of a conditioning":
        (lambda kit, cfg: sample(apply(kit), cfg=cfg, positive=masked(FRAMES - 1)), "conditioning has 3 masks"),
    "guidance that takes one call for the whole video":
        (lambda kit, cfg: sample(SelfAttentionGuidance.execute(long_video(apply(kit), context_length=2,
                                                                          context_overlap=1), 0.5, 2.0)[0], cfg=cfg),
         "takes one call of the UNet for the whole video"),
    "prompts for fewer frames": (lambda kit, cfg: sample_prompts(kit, FRAMES - 1, cfg=cfg), "has prompts for 3 frames"),
    "prompts for more frames": (lambda kit, cfg: sample_prompts(kit, FRAMES + 1, cfg=cfg), "has prompts for 5 frames"),
    "too few masks":
        (lambda kit, cfg: sample(moved(kit, mask=torch.ones(FRAMES - 1, 8, 8)), cfg=cfg), "was given 3 masks"),
    "too many masks":
        (lambda kit, cfg: sample(moved(kit, mask=torch.ones(FRAMES + 1, 8, 8)), cfg=cfg), "was given 5 masks"),
    "a curve past the end":
        (lambda kit, cfg: sample(moved(kit, "0: 1, 4: 0"), cfg=cfg), "there is no frame 4 in a video of 4"),
    "a flow model in AnimateLCM Sampler":
        (lambda kit, cfg: with_our_sampler(flow_model(kit)), "whose noise the AnimateLCM sampler does not know"),
}
"""What is refused when sampling begins."""


def cut_over_height(kit):
    windowed = with_windows(apply(kit))
    windowed.model_options["context_handler"].dim = 2
    return windowed


def check_refusal(kit, wrong, message):
    kit.calls.clear()
    with torch.inference_mode(), pytest.raises(ValueError, match=re.escape(message)) as refusal:
        wrong()
    assert kit.calls == []
    # Short enough to be read in the window that shows it.
    assert len(str(refusal.value)) < 400
    assert snapshots.options_of(kit.model) == kit.options


@pytest.mark.parametrize("case", AT_ONCE)
def test_a_node_refuses(kit, case):
    wrong, message = AT_ONCE[case]
    check_refusal(kit, lambda: wrong(kit), message)


@pytest.mark.parametrize("cfg", [1.0, 1.5])
@pytest.mark.parametrize("case", IN_SAMPLING)
def test_sampling_refuses_before_the_first_call_of_the_unet(kit, case, cfg):
    wrong, message = IN_SAMPLING[case]
    check_refusal(kit, lambda: wrong(kit, cfg), message)


def test_a_refused_model_of_another_family_stays_what_it_was(kit):
    for model in (sdxl(), sd2()):
        parts, options = snapshots.parts_of(model.model), snapshots.options_of(model)
        for refused in (lambda model=model: apply(kit, model), lambda model=model: animate(kit, model=model)):
            with pytest.raises(ValueError, match="does not fit this MODEL"):
                refused()
        assert snapshots.changed(parts, snapshots.parts_of(model.model)) == []
        assert snapshots.options_of(model) == options


def test_the_scheduler_serves_other_stable_diffusion_models():
    for model in (sdxl(), sd2()):
        assert Scheduler.execute(model, 4, 1.0).result[0].shape == (5,)


@pytest.mark.parametrize("cfg", [1.0, 1.5])
@pytest.mark.parametrize("one_frame", [
    lambda kit: apply(kit), lambda kit: long_video(apply(kit)), lambda kit: with_windows(apply(kit)),
    lambda kit: animate(kit, num_frames=1, vae=kit.vae)[0], lambda kit: moved(kit, "0: 0.5", torch.ones(1, 8, 8)),
], ids=["motion", "Long Video", "Context Windows", "Image to Video", "Motion Control"])
def test_one_frame_is_a_video(kit, one_frame, cfg):
    assert sample(one_frame(kit), 1, 4, 8, 8, cfg=cfg, positive=probe.prompts(1)).isfinite().all()


def test_an_empty_latent_of_another_model_is_made_to_fit_by_the_host(kit):
    latent = comfy.sample.fix_empty_latent_channels(apply(kit), torch.zeros(FRAMES, 16, 8, 8))
    assert latent.shape == (FRAMES, 4, 8, 8)


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_an_image_to_video_file_without_an_image_is_text_to_video_with_its_own_schedule(kit, cfg):
    by_hand = apply_motion(kit.model, kit.image, 1.0, SCHEDULES[IMAGE_TO_VIDEO])
    assert torch.equal(run(apply(kit, motion=kit.image), cfg=cfg), run(by_hand, cfg=cfg))
    assert not torch.equal(run(apply(kit), cfg=cfg), run(by_hand, cfg=cfg))


def test_every_message_is_on_the_page_of_errors():
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    messages = {words for _, words in (AT_ONCE | IN_SAMPLING).values()}
    missing = [words for words in messages if re.sub(r"\d+", "...", words) not in re.sub(r"\d+", "...", page)]
    assert missing == []
