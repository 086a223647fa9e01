"""The demo's trainings compute where their networks are, whatever was drawn on the CPU.

The meta device stands for a GPU: it too refuses tensors of the CPU beside its own.
"""

from contextlib import nullcontext

import pytest
import torch
from animatelcm.demo import model as demo_model
from animatelcm.demo import network
from animatelcm.host.training.network import Trainable, attending
from animatelcm.motion.module import MotionConfig
from animatelcm.tools.demo import codec_training
from animatelcm.tools.demo.image_training import image_loss, new_model
from animatelcm.tools.demo.latent_cache import BLOCK, Cache, Source
from animatelcm.tools.demo.layout import layout_loss
from animatelcm.tools.demo.motion_training import Moving, motion_loss, new_motion

TINY = network.UNET | {"model_channels": 32, "channel_mult": (1, 1, 1, 1)}
SITES = MotionConfig(channels=(32, 32, 32, 32), heads=4)
ELSEWHERE = torch.device("meta")


def test_the_stand_in_refuses_tensors_of_the_cpu():
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(2) * torch.ones(2, device=ELSEWHERE)


def elsewhere(clips=False):
    """Return an image model and a cache, both on the other device."""
    source = Source("clips" if clips else "images", BLOCK, clips)
    return new_model(0, TINY).to(ELSEWHERE), Cache(source, torch.empty(source.shape, dtype=torch.float16)).to(ELSEWHERE)


def test_image_model():
    image, cache = elsewhere()
    assert image_loss(image, cache, 0, 1, 2).device == ELSEWHERE


def test_motion_module():
    image, cache = elsewhere(clips=True)
    module = new_motion(0, SITES).to(ELSEWHERE)
    assert motion_loss(image.requires_grad_(False), Moving(image, module), cache, 0, 1, 1).device == ELSEWHERE


def test_control_net():
    source = Source("images", BLOCK)
    image, cache = new_model(0), Cache(source, torch.empty(source.shape, dtype=torch.float16)).to(ELSEWHERE)
    control_net = demo_model.new_control_net(image.unet, 0).to(ELSEWHERE)
    image.to(ELSEWHERE)
    controlled = Trainable(image.unet, control=attending(control_net))
    assert layout_loss(controlled, image, cache, 0, 1, 2).device == ELSEWHERE


def test_codec(monkeypatch):
    # Which knows nothing of that device.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    codec = codec_training.new_codec(0).to(ELSEWHERE)
    assert codec_training.codec_loss(codec, 0, 1, 1).device == ELSEWHERE
