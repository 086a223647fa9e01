"""Layouts of the world, and the demo's ControlNet from its first step to the stock nodes."""

import random
from functools import partial

import folder_paths
import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.demo import world
from animatelcm.demo.files import WEIGHTS
from animatelcm.host.training.network import Trainable
from animatelcm.tests.support import conditioning, noise_for, run
from animatelcm.tools.demo import layout
from animatelcm.tools.demo.stages import Workspace

from nodes import ControlNetApplyAdvanced, ControlNetLoader


def scene_of(seed):
    scene = world.random_scene(random.Random(seed))
    return scene, world.positions(scene)


@pytest.mark.parametrize("seed", range(6))
def test_a_clip_keeps_to_its_own_layout_and_to_no_other(seed):
    scene, path = scene_of(seed)
    clip, own = world.render(scene), world.hints(scene, path)
    assert own.shape == clip.shape and (own.min(), own.max()) == (0, 1)
    kept = layout.layout_iou(clip, own)
    assert kept.shape == (world.FRAMES,) and kept.min() > 0.9
    assert layout.layout_iou(clip, world.hints(scene, path + world.RADII[scene.size])).max() < 0.6
    assert layout.layout_iou(torch.full_like(clip, 0.5), own).eq(0).all()


def test_too_large_an_object_and_too_small_a_one_keep_to_a_layout_alike():
    small, big = (world.Scene("blue", "circle", "up", size=size) for size in ("small", "big"))
    path = world.positions(big)
    clips, layouts = ([make(scene, path) for scene in (small, big)] for make in (world.draw, world.hints))
    area = (world.RADII["small"] / world.RADII["big"]) ** 2
    for clip, hints in zip(clips, reversed(layouts), strict=True):
        assert layout.layout_iou(clip, hints).mean().item() == pytest.approx(area, abs=0.05)


def test_the_silhouette_is_where_the_object_is():
    scene = world.Scene("red", "star", "up", background="black")
    path = world.positions(scene)
    inside = world.hints(scene, path) == 1
    red = torch.tensor(world.COLOURS["red"]).view(1, 3, 1, 1).expand(world.FRAMES, 3, world.SIZE, world.SIZE) / 255
    assert inside.sum() > 1000
    assert torch.equal(world.render(scene)[inside], red[inside])


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
    layout.train_layout(Workspace(tmp_path, WEIGHTS, tmp_path), steps=2)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "controlnet",
                        ([str(tmp_path / "controlnet")], {".safetensors"}))
    return "AnimateLCM_demo_layout.safetensors"


def test_the_stock_nodes_take_the_file(layout_file):
    control = ControlNetLoader().load_controlnet(layout_file)[0]
    assert control.control_weights["zero_convs.0.0.weight"].dtype == torch.float16
    assert control.control_weights["zero_convs.0.0.weight"].abs().sum() > 0
    model, _, _ = demo_model.load_demo_model()
    hints = world.hints(*scene_of(0))[:2].movedim(1, -1)
    positive, negative = ControlNetApplyAdvanced().apply_controlnet(
        conditioning(1), conditioning(2), control, hints, 1.0, 0.0, 1.0)
    plain, controlled = run(model, 2), run(model, 2, positive=positive, negative=negative)
    assert controlled.isfinite().all() and not torch.equal(controlled, plain)
