"""The node Image to Video: what it makes of an image, what it says, and what it refuses."""

import pytest
import torch
from animatelcm.demo.model import load_demo_model
from animatelcm.host.folders import register_folders
from animatelcm.host.image_to_video import fit_images
from animatelcm.host.motion import KEY
from animatelcm.nodes import image_to_video, motion
from animatelcm.nodes.image_to_video import ImageToVideo
from animatelcm.nodes.motion import ApplyMotionModule
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import IMAGE_TO_VIDEO, loaded_image_to_video, loaded_motion, relative_rms, run, tiny_model

register_folders()
SETTINGS = {"width": 64, "height": 64, "num_frames": 4}


@pytest.fixture(scope="module")
def vae():
    return load_demo_model()[2]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return loaded_image_to_video(tmp_path_factory.mktemp("motion"))


@pytest.fixture
def messages(monkeypatch):
    """The lines that nodes show."""
    lines = []
    for nodes in (image_to_video, motion):
        monkeypatch.setattr(nodes, "show_text", lambda node, text: lines.extend(text.split("\n")))
    return lines


def image(width=64, height=64, count=1):
    """Return images of a bright disc on a dark ground, b h w c."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    disc = ((x**2 + y**2) < 0.3).float()
    return torch.stack([disc * 0.8, disc * 0.5, 0.2 + 0 * disc], dim=-1).repeat(count, 1, 1, 1)


def execute(module, vae, given, **settings):
    """Run the node with its defaults."""
    defaults = {socket.id: socket.default for socket in ImageToVideo.define_schema().inputs
                if getattr(socket, "default", None) is not None}
    with torch.inference_mode():
        return ImageToVideo.execute(model=tiny_model(), motion_module=module, vae=vae, reference_image=given,
                                    **defaults | SETTINGS | settings).result


def test_the_outputs_are_a_model_and_empty_frames(module, vae, messages):
    model, latent = execute(module, vae, image(96, 72), height=72)
    assert latent["samples"].shape == (4, 4, 9, 8)
    assert not latent["samples"].any()
    assert messages == ["sample with 4 steps, cfg 1, sampler lcm, scheduler simple.",
                        f"{IMAGE_TO_VIDEO}, up to 64 frames.", f"schedule: {IMAGE_TO_VIDEO}.",
                        "reference 96 x 72, cut to 64 x 72."]
    [entry] = model.model_options["transformer_options"][KEY]
    assert (entry.insert.motion_scale, entry.insert.level_weights, entry.strength) == (0.8, (1.0,) * 4, 1.0)


def test_every_socket_is_what_it_is_called(module, vae, messages):
    weights = {f"level_{level}_weight": level / 10 for level in (1, 2, 3, 4)}
    model, latent = execute(module, vae, image(), width=64, height=96, num_frames=5, motion_scale=0.7,
                            motion_strength=1.3, schedule="AnimateDiff", **weights)
    [entry] = model.model_options["transformer_options"][KEY]
    assert entry.insert.level_weights == (0.1, 0.2, 0.3, 0.4)
    assert (entry.insert.motion_scale, entry.strength) == (0.7, 1.3)
    assert entry.insert.latents.shape == (1, 4, 12, 8) and latent["samples"].shape == (5, 4, 12, 8)
    assert model.get_model_object("model_sampling").schedule is SCHEDULES["AnimateDiff"]


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_the_model_samples_what_the_latent_asks_for(module, vae, cfg):
    one, each = (execute(module, vae, image(count=count))[0] for count in (1, 4))
    result = run(one, cfg=cfg)
    assert result.isfinite().all()
    assert relative_rms(result, run(each, cfg=cfg)) < 1e-5
    still = execute(module, vae, image(), motion_scale=0.0, level_3_weight=0.0)[0]
    assert relative_rms(result, run(still, cfg=cfg)) > 1e-3


@pytest.mark.parametrize("count", [2, 5, 16])
def test_another_number_of_images_is_refused(module, vae, count):
    with pytest.raises(ValueError, match=f"{count} reference images for a video of 4 frames"):
        execute(module, vae, image(count=count))


@pytest.mark.parametrize("sides", [{"width": 60}, {"height": 100}])
def test_a_size_without_a_latent_is_refused(module, vae, sides):
    with pytest.raises(ValueError, match="multiples of 8"):
        execute(module, vae, image(), **sides)


def test_apply_motion_module_says_when_an_image_is_missing(module, messages, tmp_path):
    for each, missing in ((module, True), (loaded_motion(tmp_path), False)):
        messages.clear()
        ApplyMotionModule.execute(tiny_model(), each, 1.0, "auto")
        assert any("no reference image" in line and "Image to Video" in line for line in messages) is missing


@pytest.mark.parametrize(("old", "new", "message"), [
    ((64, 64), (64, 64), "reference 64 x 64"),
    ((128, 64), (64, 64), "reference 128 x 64, cut to 64 x 64"),
    ((200, 150), (64, 64), "reference 200 x 150, scaled to 85 x 64, cut to 64 x 64"),
    ((32, 32), (64, 96), "reference 32 x 32, scaled to 96 x 96, cut to 64 x 96"),
    ((1000, 333), (96, 32), "reference 1000 x 333, scaled to 96 x 32"),
])
def test_images_cover_the_size_and_it_is_said(old, new, message):
    images, line = fit_images(image(*old, count=2), *new)
    assert images.shape == (2, new[1], new[0], 3)
    assert line == message
    assert images.min() >= 0 and images.max() <= 1
    # the disc stays in the middle
    middle = images[:, new[1] // 2 - 2:new[1] // 2 + 2, new[0] // 2 - 2:new[0] // 2 + 2]
    assert (middle - torch.tensor([0.8, 0.5, 0.2])).abs().max() < 0.02


def test_details_too_fine_for_the_size_are_averaged():
    """Without antialiasing, stripes one pixel wide would become wide ones."""
    stripes = (torch.arange(512) % 3 == 0).float().expand(512, 512)[None, ..., None].repeat(1, 1, 1, 3)
    images, _ = fit_images(stripes, 64, 64)
    assert (images - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [(64, 64), (48, 32)])
def test_grey_images_become_colour(channels, size):
    """Loaders give colours; other packs' nodes may not."""
    grey = image()[..., :1]
    given = torch.cat([grey, torch.zeros_like(grey)], dim=-1)[..., :channels]
    assert torch.equal(fit_images(given, *size)[0], fit_images(grey.repeat(1, 1, 1, 3), *size)[0])


def test_transparency_is_left_out():
    with_alpha = torch.cat([image(), torch.zeros(1, 64, 64, 1)], dim=-1)
    assert torch.equal(fit_images(with_alpha, 64, 64)[0], image())
