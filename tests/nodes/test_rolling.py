"""The nodes Rolling Sampler and Record Video: what they set up, what they say, and what is refused."""

from dataclasses import replace

import av
import comfy.sample
import comfy.samplers
import folder_paths
import pytest
import torch
from animatelcm.host.advice import placed_by
from animatelcm.host.long_video import long_video
from animatelcm.host.motion import apply_motion
from animatelcm.host.rolling import RollingSampler as Made
from animatelcm.host.rolling import describe
from animatelcm.host.sampling import scheduled_sigmas
from animatelcm.motion.module import MotionConfig
from animatelcm.nodes import rolling
from animatelcm.nodes.rolling import RecordVideo, RollingSampler
from animatelcm.samplers.rolling import Rolling
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.host.controls import KINDS, controlled, hints
from animatelcm.tests.support import CONFIG, SCHEDULE, conditioning, loaded_motion, noise_for, tiny_model, with_windows
from comfy.hooks import HookGroup, HookKeyframe, HookKeyframeGroup, WeightHook
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode

from nodes import ConditioningSetTimestepRange


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"), MotionConfig(CONFIG.channels, max_frames=20))


@pytest.fixture(scope="module")
def moving(loaded):
    """A MODEL whose motion module knows 20 frames, and whose UNet costs nothing."""
    return probe.Probe().on(apply_motion(tiny_model(), loaded, 1.0, SCHEDULES[SCHEDULE]))


@pytest.fixture
def messages(monkeypatch):
    """The lines that the nodes show."""
    lines = []
    monkeypatch.setattr(rolling, "show_text", lambda node, text: lines.extend(text.split("\n")))
    return lines


def sample(model, sampler=None, num_frames=24, steps=4, positive=None, sigmas=None):
    noise, levels = noise_for(num_frames), scheduled_sigmas(model, steps)[0] if sigmas is None else sigmas
    with torch.inference_mode():
        return comfy.sample.sample_custom(
            model, noise, 1.0, sampler or Made(Rolling(8)), levels, positive or conditioning(1), conditioning(2),
            torch.zeros_like(noise), disable_pbar=True, seed=0)


def test_the_sampler_has_what_its_node_was_given(messages):
    assert RollingSampler.execute(16, 4, 0.25).result[0] == Made(Rolling(16, 4, 0.25), auto=True)
    assert RollingSampler.execute(16, 4, 0.25, auto=False).result[0] == Made(Rolling(16, 4, 0.25))
    assert messages[:3] == ["windows of 16 frames, 4 of them finished", "for 1, 2, 3, 4, 6, 12 steps",
                        "takes 1.33 times as long as one piece would"]


def test_every_part_of_the_queue_takes_its_time():
    assert describe(Rolling(16, 8, parts=2)).splitlines() == [
        "windows of 16 frames, 8 of them finished", "for 1, 2, 4, 8, 16 steps",
        "takes 2.00 times as long as one piece would"]


def test_the_defaults_are_what_the_modules_were_trained_with():
    defaults = {socket.id: socket.default for socket in RollingSampler.define_schema().inputs}
    assert defaults == {"window": 16, "anchors": 0, "stochasticity": 1.0, "auto": True}


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_a_recorded_video_is_shown_and_handed_on(moving, format, tmp_path, messages):
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    guider = comfy.samplers.CFGGuider(moving)
    guider.set_conds(conditioning(1), conditioning(2))

    class Vae:
        def decode(self, latents):
            return torch.rand(len(latents), 64, 64, 3)

    try:
        with torch.inference_mode():
            made = RecordVideo.execute(
                guider, Made(Rolling(8)), scheduled_sigmas(moving, 4)[0], Vae(), {"samples": torch.zeros(1, 4, 8, 8)},
                13, 0, 12.0, format, 30, "clips/test")
    finally:
        folder_paths.set_output_directory(before)
    assert made.ui.as_dict()["images"] == [
        {"filename": f"test_00001_.{format}", "subfolder": "clips", "type": "output"}]
    with av.open(str(tmp_path / "clips" / f"test_00001_.{format}")) as container:
        assert container.streams.video[0].average_rate == 12
        assert sum(1 for _ in container.decode(video=0)) == 13
    assert made.result[0].get_dimensions() == (64, 64)
    assert messages == [f"13 of 13 frames in test_00001_.{format}"]


def with_keyframes(conds):
    hook = WeightHook()
    hook.weights = {}
    frames = HookKeyframeGroup()
    frames.add(HookKeyframe(0.5, 0.5))
    hook.hook_keyframe = frames
    group = HookGroup()
    group.add(hook)
    return [[tokens, options | {"hooks": group}] for tokens, options in conds]


def early(conds, **options):
    """Return a conditioning for the first half of the steps."""
    half, = ConditioningSetTimestepRange().set_range(conds, 0.0, 0.5)
    return [[tokens, more | options] for tokens, more in half]


class Foreign(type(KINDS["ControlNet"]())):
    """A control of another pack, which spreads its hints by itself."""

    def get_control(self, *args):
        return super().get_control(*args)

    def copy(self):
        copied = super().copy()
        copied.__class__ = type(self)
        return copied


def foreign(start):
    control = Foreign(KINDS["ControlNet"]().control_model, load_device=torch.device("cpu"))
    return controlled(control, hints(24), 1.0, start, 1.0)[0]


REFUSED = {
    "no motion module": (lambda model, loaded: sample(tiny_model()),
                         "no motion module.*Put Text to Video, Image to Video or Apply Motion Module before"),
    "windows": (lambda model, loaded: sample(long_video(model, 8, 2, False, False)),
                "has context windows, and the rolling sampler has its own"),
    "the host's windows": (lambda model, loaded: sample(with_windows(model)), "has context windows"),
    "a large window": (lambda model, loaded: sample(model, Made(Rolling(24))),
                       "window is 24 frames, but the motion module knows at most 20.*16 is recommended"),
    "6 steps": (lambda model, loaded: sample(model, steps=6),
                "6 steps do not divide a window of 8 frames.*Use 1, 2, 4, 8 steps, or.*6 or 12 frames.*Long Video"),
    "a split": (lambda model, loaded: sample(model, sigmas=scheduled_sigmas(model, 4)[0][:3]),
                "SIGMAS have to fall to 0.*no Split Sigmas"),
    "EasyCache": (lambda model, loaded: sample(EasyCacheNode.execute(model, 0.2, 0.15, 0.95, False).result[0]),
                  "calls of the rolling sampler have other frames"),
    "LazyCache": (lambda model, loaded: sample(LazyCacheNode.execute(model, 0.2, 0.15, 0.95, False).result[0]),
                  "calls of the rolling sampler have other frames"),
    "many steps": (
        lambda model, loaded: sample(placed_by(
            model, replace(loaded, name="v3.ckpt", schedule="AnimateDiff", sampling=None), None, "")),
        "'v3.ckpt' needs many steps.*use Long Video with euler and 25 steps"),
    "hook keyframes": (lambda model, loaded: sample(model, positive=with_keyframes(conditioning(1))),
                       "hook keyframes change it over the steps"),
    "a default conditioning": (
        lambda model, loaded: sample(model, positive=conditioning(1) + early(conditioning(3), default=True)),
        "a default conditioning acts in a part of the sampling only"),
    "a foreign control": (lambda model, loaded: sample(model, positive=foreign(0.3)),
                          "a control of another pack acts in a part of the sampling only"),
    "too few prompts": (lambda model, loaded: sample(model, positive=probe.prompts(16)),
                        "prompts for 16 frames, the video has 24"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_together_is_refused(moving, loaded, case):
    attempt, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        attempt(moving, loaded)
    assert sample(moving).isfinite().all()


def test_a_foreign_control_for_all_steps_works(moving):
    assert sample(moving, positive=foreign(0.0)).isfinite().all()


def test_a_lora_for_few_steps_makes_a_slow_module_quick(moving, loaded):
    slow = placed_by(moving, replace(loaded, schedule="AnimateDiff", sampling=None), None, "")
    name = "diffusion_model.out.2.weight"
    slow.add_patches({name: ("diff", (torch.zeros_like(slow.model.diffusion_model.out[2].weight),))})
    assert sample(slow).isfinite().all()


def test_a_small_window_is_said_to_be_small(moving, loaded, caplog):
    sample(placed_by(moving, loaded, None, ""), num_frames=24)
    assert "the rolling sampler's window has 8 frames, but the module was trained on 16" in caplog.text
    caplog.clear()
    sample(placed_by(moving, loaded, None, ""), Made(Rolling(16)), num_frames=24)
    assert caplog.text == ""
