"""Outlines of the world, and the demo's ControlNet from its first step to the stock nodes."""

from functools import partial

import folder_paths
import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.demo.files import WEIGHTS
from animatelcm.demo.scenes import Scene, outline, render
from animatelcm.host.training.network import Trainable
from animatelcm.tests.support import conditioning, noise_for, run
from animatelcm.tools.demo import layout
from animatelcm.tools.demo.latent_cache import BLOCK
from animatelcm.tools.demo.stages import Workspace

from nodes import ControlNetApplyAdvanced, ControlNetLoader


def test_an_outline_is_where_the_subject_is_and_nowhere_else():
    clip = render(Scene("car", "right", "meadow"))
    drawn = outline(clip)
    assert drawn.shape == clip.frames.shape and (drawn.min(), drawn.max()) == (0, 1)
    near = torch.nn.functional.max_pool2d(clip.mask.unsqueeze(1), 5, 1, 2) > 0
    assert not drawn[~near.expand_as(drawn)].any()
    assert 0.05 < drawn[near.expand_as(drawn)].mean() < 0.5


def test_a_new_control_net_is_the_encoder_and_adds_nothing():
    unet = demo_model.new_unet(0).requires_grad_(False)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    control_net = demo_model.new_control_net(unet, seed=3)
    weights = control_net.state_dict()
    same = [key for key, weight in unet.state_dict().items() if key in weights and torch.equal(weights[key], weight)]
    assert len(same) == sum(key.startswith(("time_embed.", "input_blocks.", "middle_block.")) for key in weights)
    z, timesteps, context = noise_for(2), torch.tensor([3, 900]), conditioning(1)[0][0].repeat(2, 1, 1)
    hint = torch.rand(2, 3, 64, 64)
    own = Trainable(unet, control=control_net.requires_grad_(True))
    prediction = own(z, timesteps, context, hint=hint)
    assert torch.equal(prediction, Trainable(unet)(z, timesteps, context))
    prediction.square().mean().backward()
    assert all(layer[0].weight.grad.abs().sum() > 0 for layer in control_net.zero_convs)
    assert all(p.grad is None for p in unet.parameters())


@pytest.fixture
def layout_file(tmp_path, monkeypatch):
    """Train two steps by the command's function; the file is the only one that Load ControlNet Model lists."""
    monkeypatch.setattr(layout, "layout_loss", partial(layout.layout_loss, batch=2))
    (tmp_path / "weights").symlink_to(WEIGHTS)
    layout.train_layout(Workspace(tmp_path, images=BLOCK), steps=2)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "controlnet",
                        ([str(tmp_path / "models" / "controlnet")], {".safetensors"}))
    return "AnimateLCM_demo_layout.safetensors"


def test_the_stock_nodes_take_the_file(layout_file):
    control = ControlNetLoader().load_controlnet(layout_file)[0]
    assert control.control_weights["zero_convs.0.0.weight"].dtype == torch.float16
    assert control.control_weights["zero_convs.0.0.weight"].abs().sum() > 0
    model, _, _ = demo_model.load_demo_model()
    hints = outline(render(Scene("car", "right", "meadow")))[:2].movedim(1, -1)
    positive, negative = ControlNetApplyAdvanced().apply_controlnet(
        conditioning(1), conditioning(2), control, hints, 1.0, 0.0, 1.0)
    plain, controlled = run(model, 2), run(model, 2, positive=positive, negative=negative)
    assert controlled.isfinite().all() and not torch.equal(controlled, plain)
