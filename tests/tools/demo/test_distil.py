"""Distilling the demo model: its data, and the names of its files."""

from __future__ import annotations

from dataclasses import replace

import folder_paths
import pytest
import torch
from animatelcm.demo.backdrops import SIZE
from animatelcm.demo.files import MODELS, WEIGHTS
from animatelcm.demo.model import load_demo_model
from animatelcm.demo.scenes import FRAMES
from animatelcm.host.folders import register_folders
from animatelcm.tools.demo import distil
from animatelcm.tools.demo.latent_cache import BLOCK, Cache, Source
from animatelcm.tools.demo.stages import Workspace

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The world's data, with latents that nobody drew."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "weights").symlink_to(WEIGHTS)
    workspace = Workspace(folder, images=BLOCK, clips=BLOCK)
    for name, clips in (("frames_of_scenes", False), ("clips_of_scenes", True)):
        source = Source(name, BLOCK, clips)
        latents = torch.randn(source.shape, generator=torch.Generator().manual_seed(0)).half()
        vars(workspace)[name] = Cache(source, latents)
    return distil.world_data(workspace)


def test_batches_are_frames_or_clips_that_their_number_decides(data):
    images, clips = (distil.settings(stage, 10, seed=3) for stage in ("lora", "t2v"))
    source = data.source(None, images, CPU)
    assert source(0).latents.shape == (16, 4, 16, 16) and len(source(0).context) == 16
    assert torch.equal(source(5).latents, source(5).latents) and not torch.equal(source(5).latents, source(6).latents)
    clip = data.source(None, clips, CPU)(0)
    assert clip.latents.shape == (1, FRAMES, 4, 16, 16) and not clip.conditions
    followed = replace(data, hints=True).source(None, clips, CPU)(0)
    assert followed.conditions["hint"].shape == (1, FRAMES, 3, SIZE, SIZE)
    assert torch.equal(followed.latents, clip.latents)


def test_captions_are_encoded_as_the_host_encodes_them(data):
    clip = load_demo_model()[1]
    caption = "a penguin running left in the snow"
    [[expected, _]] = clip.encode_from_tokens_scheduled(clip.tokenize(caption))
    torch.testing.assert_close(data.context([caption]), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(data.empty(), clip.encode_from_tokens_scheduled(clip.tokenize(""))[0][0],
                               atol=1e-5, rtol=1e-4)


def test_another_seed_or_codec_is_other_data(data, tmp_path):
    own = data.origin()
    assert replace(data, workspace=replace(data.workspace, seed=1)).origin().differences(own, 0) == ["seed 1, was 0"]
    assert replace(data, workspace=replace(data.workspace, clips=2 * BLOCK)).origin().differences(own, 0)


def test_the_stock_loaders_list_what_goes_with_the_demo_model():
    register_folders()
    for path in MODELS.glob("*/*.safetensors"):
        assert folder_paths.get_full_path(path.parent.name, path.name) == str(path)
        assert path.name.startswith("AnimateLCM_demo_")
