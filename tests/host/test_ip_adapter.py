"""IP-Adapters of other packs: they replace cross attention, and choose the images of a window's frames by `ad_params`.

The stand-in here follows the description of that interface: a callable in the place of a cross attention, which is
given query, key, value and options, and adds an attention over the images' tokens.
"""

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.host.probe import STEPS, TOTAL, every_schedule
from animatelcm.tests.support import CONTEXT_DIM, SCHEDULE, relative_rms, run, with_windows
from comfy.ldm.modules.attention import optimized_attention

BLOCKS = [("input", 1), ("input", 4), ("input", 8), ("middle", 0), ("output", 3), ("output", 11)]
"""Some of the UNet's blocks with cross attention."""
TOKENS = 4


class Adapter:
    """Images' tokens for each frame of a video, seen by one cross attention."""

    def __init__(self, images, weight=1.0):
        self.images, self.weight, self.calls = images, weight, []

    def __call__(self, q, k, v, options):
        out = optimized_attention(q, k, v, options["n_heads"])
        chunks, window = options["cond_or_uncond"], options.get("ad_params")
        count = len(q) // len(chunks)
        if window is not None and window["sub_idxs"] is not None:
            assert len(self.images) >= window["full_length"]
            assert window["context_length"] == count
            chosen = self.images[window["sub_idxs"]]
        else:
            chosen = self.images[:count]
        self.calls.append((options["block"], tuple(q.shape), options["transformer_index"]))
        # The negative prompt sees an empty image.
        tokens = torch.cat([torch.zeros_like(chosen) if chunk else chosen for chunk in chunks])
        to = torch.Generator().manual_seed(q.shape[-1])
        keys, values = (tokens @ torch.randn(CONTEXT_DIM, q.shape[-1], generator=to) / 8 for _ in range(2))
        return out + self.weight * optimized_attention(q, keys, values, options["n_heads"])

    def on(self, model):
        """Return a clone of the MODEL with this in its cross attentions."""
        model = model.clone()
        for block in BLOCKS:
            model.set_model_attn2_replace(self, *block)
        return model


def images(count, seed=3):
    return torch.randn(count, TOKENS, CONTEXT_DIM, generator=torch.Generator().manual_seed(seed))


def apply(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[SCHEDULE])


@every_schedule
def test_a_window_says_which_frames_it_has(windowed):
    unet = probe.Probe()
    probe.sample(unet.on(windowed), TOTAL, steps=STEPS)
    for frames, options in zip(unet.frames, unet.options, strict=True):
        params = options["ad_params"]
        assert params["sub_idxs"] * len(options["cond_or_uncond"]) == frames
        assert (params["full_length"], params["context_length"]) == (TOTAL, len(params["sub_idxs"]))


def test_nothing_is_said_of_a_whole_video(model, motion):
    unet = probe.Probe()
    probe.sample(unet.on(with_windows(apply(model, motion))), 4)
    assert all("ad_params" not in options for options in unet.options)


def test_the_run_keeps_it_to_itself(model, motion):
    windowed = with_windows(apply(model, motion))
    run(windowed, num_frames=6, steps=1)
    assert "ad_params" not in windowed.model_options["transformer_options"]


def test_images_for_each_frame_in_windows_are_one_pass(model, motion):
    adapter = Adapter(images(6))
    still = adapter.on(apply(model, motion, strength=0.0))
    whole = run(still, num_frames=6, cfg=1.5)
    assert relative_rms(run(with_windows(still), num_frames=6, cfg=1.5), whole) < 1e-5
    other = Adapter(images(6).flip(0)).on(apply(model, motion, strength=0.0))
    assert relative_rms(run(with_windows(other), num_frames=6, cfg=1.5), whole) > 1e-3


@pytest.mark.parametrize("adapter_first", [True, False])
def test_an_adapter_sees_cross_attention_alone(model, motion, adapter_first):
    """Before or after the motion module: the tokens are pixels, never frames, and layers are counted as without it."""
    adapter, bare = Adapter(images(4)), Adapter(images(4))
    result = run(apply(adapter.on(model), motion) if adapter_first else adapter.on(apply(model, motion)), steps=1)
    run(bare.on(model), steps=1)
    assert adapter.calls == bare.calls
    assert {shape[0] for _, shape, _ in adapter.calls} == {4}
    assert [block for block, _, _ in adapter.calls] == BLOCKS
    assert relative_rms(result, run(apply(model, motion), steps=1)) > 1e-3
