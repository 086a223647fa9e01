"""Checkpoints for inpainting: each call of the UNet is given the mask and the picture of its own frames."""

import comfy.samplers
import pytest
import torch
from animatelcm.demo.model import new_unet
from animatelcm.host.motion import apply_motion
from animatelcm.host.recording import Request, record
from animatelcm.host.rolling import RollingSampler
from animatelcm.host.sampling import scheduled_sigmas
from animatelcm.host.video_file import Target
from animatelcm.samplers.rolling import Rolling
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.test_recording import Vae, output_folder  # noqa: F401 - a fixture for all tests of a file
from animatelcm.tests.support import SCHEDULE, UNET_CONFIG, TinyEps, conditioning, model_from, noise_for
from comfy.patcher_extension import WrappersMP
from node_helpers import conditioning_set_values

TOTAL, WINDOW = 13, 8


class Inpainting(TinyEps):
    """The tiny model with channels for a mask and a picture."""

    unet_config = UNET_CONFIG | {"in_channels": 9}


@pytest.fixture(scope="module")
def inpainting(motion):
    weights = new_unet(0, Inpainting.unet_config).state_dict()
    return apply_motion(model_from(Inpainting, weights), motion, 1.0, SCHEDULES[SCHEDULE])


def given(model, latent, num_frames=TOTAL, **of_conditioning):
    """Record a video; return of every call which frames it had, and what it was given for them, f 5 h w."""
    seen, model = [], model.clone()

    def note(executor, x, timesteps, *args, **kwargs):
        options = kwargs.get("transformer_options") or args[3]
        seen.append((options["context_window"].index_list, x[:, 4:].clone()))
        return torch.zeros_like(x[:, :4])

    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, note)
    guider = comfy.samplers.CFGGuider(model)
    with torch.inference_mode():
        guider.set_conds(*(conditioning_set_values(conditioning(seed), of_conditioning) for seed in (1, 2)))
        guider.set_cfg(1.0)
        record(Request(guider, RollingSampler(Rolling(WINDOW)), scheduled_sigmas(model, 4)[0], latent, num_frames, 3),
               Vae(), Target("test", "mp4", 8.0, 19))
    return seen


def check(seen, masks, pictures):
    assert {frame for frames, _ in seen for frame in frames} == set(range(TOTAL))
    for frames, found in seen:
        torch.testing.assert_close(found[:, :1], masks.expand(TOTAL, -1, -1, -1)[frames])
        torch.testing.assert_close(found[:, 1:], pictures.expand(TOTAL, -1, -1, -1)[frames])


@pytest.mark.parametrize("count", [1, TOTAL])
def test_noise_masks(inpainting, count):
    video, masks = noise_for(TOTAL), torch.rand(count, 1, 8, 8).round()
    seen = given(inpainting, {"samples": video, "noise_mask": masks})
    check(seen, masks, inpainting.model.process_latent_in(video))


@pytest.mark.parametrize("count", [1, TOTAL])
@pytest.mark.parametrize("new", [False, True])
def test_masks_and_pictures_of_the_conditioning(inpainting, count, new):
    """As Inpaint Model Conditioning gives them, also without noise masks."""
    masks, pictures = torch.rand(count, 1, 64, 64).round(), noise_for(count, 5)
    latent = torch.zeros(1, 4, 8, 8) if new else noise_for(TOTAL)
    seen = given(inpainting, {"samples": latent}, concat_mask=masks, concat_latent_image=pictures)
    small = torch.nn.functional.interpolate(masks, (8, 8), mode="bilinear", align_corners=False).round()
    check(seen, small, inpainting.model.process_latent_in(pictures))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_mask_without_an_axis_for_frames_or_colours(inpainting, axes):
    """Its rows are not frames."""
    mask = torch.rand(*(1, 64, 64)[-axes:]).round()
    seen = given(inpainting, {"samples": torch.zeros(1, 4, 8, 8)}, concat_mask=mask, concat_latent_image=noise_for(1))
    small = torch.nn.functional.interpolate(mask.view(1, 1, 64, 64), (8, 8), mode="bilinear").round()
    check(seen, small, inpainting.model.process_latent_in(noise_for(1)))


def test_without_masks_all_is_to_be_painted(inpainting):
    seen = given(inpainting, {"samples": torch.zeros(1, 4, 8, 8)})
    blank = inpainting.model.blank_inpaint_image_like(torch.ones(1, 4, 8, 8))
    check(seen, torch.ones(1, 1, 8, 8), blank)


def test_a_window_holds_the_whole_video(inpainting):
    masks = torch.rand(5, 1, 8, 8).round()
    seen = given(inpainting, {"samples": noise_for(5), "noise_mask": masks}, num_frames=5)
    assert all(torch.equal(found[:, :1], masks) for _, found in seen)


@pytest.mark.parametrize("name", ["concat_mask", "concat_latent_image"])
def test_too_few_are_refused(inpainting, name):
    few = {"concat_mask": torch.ones(6, 1, 8, 8), "concat_latent_image": noise_for(6)} | {
        name: torch.ones(7, 4 if "latent" in name else 1, 8, 8)}
    with pytest.raises(ValueError, match="13 frames.*conditioning for inpainting.*(6|7).*one for each frame"):
        given(inpainting, {"samples": torch.zeros(1, 4, 8, 8)}, **few)
