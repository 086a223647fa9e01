"""A prompt for each frame: what the CLIP makes of a schedule, and what sampling makes of that."""

import comfy.sample
import pytest
import torch
from animatelcm.demo.model import load_clip, new_text_model
from animatelcm.host.motion import apply_motion
from animatelcm.host.prompts import encode_schedule
from animatelcm.nodes.prompts import PromptSchedule
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, conditioning, noise_for, relative_rms, tiny_model, with_windows
from comfy.patcher_extension import WrappersMP

SHORT, OTHER = "a red car driving right", "a (pink:1.3) pig, moving up"
LONG = " ".join(["a small green dinosaur is running to the left on a white background"] * 9)
"""More words than fit into one chunk of tokens."""


@pytest.fixture(scope="module")
def clip():
    return load_clip(new_text_model(0).state_dict())


@pytest.fixture
def applied(motion):
    return apply_motion(tiny_model(), motion, 0.0, SCHEDULES[SCHEDULE])


def schedule(clip, text, num_frames=4, interpolation="linear"):
    return PromptSchedule.execute(clip, text, num_frames, interpolation).result[0]


def encoded(clip, text):
    """What CLIPTextEncode gives."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def sample(model, positive, num_frames=4, negative=None, cfg=1.0, steps=1):
    noise = noise_for(num_frames)
    with torch.inference_mode():
        return comfy.sample.sample(
            model, noise, steps, cfg, "euler", "simple", positive, negative or conditioning(2),
            torch.zeros_like(noise), disable_pbar=True, seed=0)


def test_every_frame_has_its_tokens(clip):
    tokens, options = schedule(clip, f"0: {SHORT}, 2: {OTHER}")[0]
    first, second = encoded(clip, SHORT)[0][0], encoded(clip, OTHER)[0][0]
    assert tokens.shape == (4, *first.shape[1:])
    assert torch.equal(tokens, torch.cat([first, torch.lerp(first, second, 0.5), second, second]))
    held = schedule(clip, f"0: {SHORT}, 2: {OTHER}", interpolation="hold")[0][0]
    assert torch.equal(held, torch.cat([first, first, second, second]))


def test_pooled_output_follows_the_frames(clip, monkeypatch):
    tokens = encoded(clip, SHORT)[0][0]
    values = {SHORT: 0.0, OTHER: 1.0}
    monkeypatch.setattr(type(clip), "tokenize", lambda self, text: text)
    monkeypatch.setattr(type(clip), "encode_from_tokens_scheduled", lambda self, text: [
        [tokens, {"pooled_output": torch.full((1, 3), values[text]), "clip_end_percent": share}] for share in (0.5, 1)])
    parts = schedule(clip, f"0: {SHORT}, 2: {OTHER}")
    assert [part[1]["clip_end_percent"] for part in parts] == [0.5, 1]
    assert all(part[1]["pooled_output"][:, 0].tolist() == [0, 0.5, 1, 1] for part in parts)


def test_a_prompt_is_encoded_once(clip, monkeypatch):
    texts = []
    tokenize = type(clip).tokenize
    monkeypatch.setattr(type(clip), "tokenize", lambda self, text: texts.append(text) or tokenize(self, text))
    schedule(clip, f"0: {SHORT}, 1: {OTHER}, 3: {SHORT}")
    assert sorted(texts) == sorted([SHORT, OTHER])


@pytest.mark.parametrize("cfg", [1.0, 1.5])
@pytest.mark.parametrize("text", [SHORT, LONG])
def test_one_prompt_is_as_from_the_stock_node(clip, applied, text, cfg):
    stock = sample(applied, encoded(clip, text), cfg=cfg)
    assert relative_rms(sample(applied, schedule(clip, f'0: "{text}"'), cfg=cfg), stock) < 1e-5


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_key_frames_of_any_length_are_as_their_prompts_alone(clip, applied, cfg):
    """Without motion a frame depends on its own prompt only: a padded one has to act as it does alone."""
    assert encoded(clip, LONG)[0][0].shape[1] > encoded(clip, SHORT)[0][0].shape[1]
    result = sample(applied, schedule(clip, f"0: {SHORT}, 3: {LONG}"), cfg=cfg)
    short, long = (sample(applied, encoded(clip, text), cfg=cfg) for text in (SHORT, LONG))
    assert relative_rms(result[0], short[0]) < 1e-5
    assert relative_rms(result[3], long[3]) < 1e-5
    assert relative_rms(result[1], short[1]) > 1e-3
    assert relative_rms(result[2], long[2]) > 1e-3


@pytest.mark.parametrize("causal", [False, True])
def test_windows_have_the_prompts_of_their_frames(clip, applied, causal):
    windowed = with_windows(applied, causal=causal)
    positive = schedule(clip, f"0: {SHORT}, 9: {OTHER}", num_frames=10)
    seen = []

    def note(executor, x, timesteps, context, *rest, **more):
        seen.append(context)
        return executor(x, timesteps, context, *rest, **more)

    windowed.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", note)
    assert relative_rms(sample(windowed, positive, 10), sample(applied, positive, 10)) < 1e-5
    windows = [[0, 1, 2, 3], [2, 3, 4, 5, 6] if causal else [3, 4, 5, 6], [5, 6, 7, 8, 9] if causal else [6, 7, 8, 9]]
    assert all(torch.equal(context, positive[0][0][frames]) for context, frames in zip(seen, windows, strict=True))


@pytest.mark.parametrize("name", ["positive", "negative"])
def test_prompts_for_another_number_of_frames_are_refused(clip, applied, name):
    conds = {"positive": conditioning(1), "negative": conditioning(2)} | {name: schedule(clip, f"0: {SHORT}", 6)}
    with pytest.raises(ValueError, match=f"the {name} conditioning has prompts for 6 frames, the video has 4"):
        sample(applied, cfg=1.5, **conds)


def test_a_schedule_past_the_end_is_refused(clip):
    with pytest.raises(ValueError, match="line 2, column 1: there is no frame 4 in a video of 4 frames"):
        schedule(clip, f"0: {SHORT}\n4: {OTHER}")


def test_without_a_clip(clip):
    with pytest.raises(ValueError, match="no text encoder"):
        schedule(None, "0: x")


def test_what_the_node_shows(clip):
    lines = encode_schedule(clip, f"2: {OTHER}, 0: {SHORT}", 4, "hold")[1].splitlines()
    assert lines[:2] == [f"frame 0: {SHORT}", f"frame 2: {OTHER}"]
    assert lines[2].endswith("tokens a frame")


def test_prefix_and_suffix_stand_around_every_prompt(clip):
    inputs = PromptSchedule.define_schema().inputs
    assert [socket.id for socket in inputs][-3:] == ["prefix", "suffix", "position_values"]
    assert all(socket.optional for socket in inputs[-3:])
    text = f"0: {SHORT}, 2: {OTHER}"
    around = PromptSchedule.execute(clip, text, 4, "linear", "a drawing of", "soft light").result[0]
    whole = schedule(clip, f'0: "a drawing of, {SHORT}, soft light", 2: "a drawing of, {OTHER}, soft light"')
    assert torch.equal(around[0][0], whole[0][0])
    lines = encode_schedule(clip, f"masterpiece\n0: {SHORT}", 4, "hold", "", "soft light")[1].splitlines()
    assert lines[:3] == [f"frame 0: {SHORT}", "before every prompt: masterpiece", "after every prompt: soft light"]
