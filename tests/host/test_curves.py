"""Numbers over the frames that come by a link: lists, arrays and the host's curves, and where they act."""

import numpy as np
import pytest
import torch
from animatelcm.host.curves import curve_in, curve_of, scaled
from animatelcm.host.motion import apply_motion
from animatelcm.host.prompts import encode_schedule
from animatelcm.host.sampling import lcm_sampler
from animatelcm.nodes.controls import MotionControl
from animatelcm.nodes.curves import FrameValues
from animatelcm.nodes.prompts import PromptSchedule
from animatelcm.nodes.sampling import Sampler
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, noise_for, run, with_windows
from comfy_api.input import LinearCurve
from comfy_execution.validation import validate_node_input
from comfy_extras.nodes_custom_sampler import Guider_Basic

ENVELOPE = [0.0, 1.0, 0.25, 0.5]
RAMP = LinearCurve([(0.0, 0.0), (1.0, 1.5)])
FORMS = {"list": ENVELOPE, "tuple": tuple(ENVELOPE), "array": np.array(ENVELOPE), "tensor": torch.tensor(ENVELOPE),
         "numbers of arrays": list(np.array(ENVELOPE, np.float32)), "numbers of tensors": list(torch.tensor(ENVELOPE)),
         "Frame Values": scaled([ENVELOPE], 0.0, 1.0)}


def controlled(motion, values=None, text=""):
    return MotionControl.execute(motion, 0.0, 1.0, text, None, values).result[0]


def apply(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


def test_one_frame_may_be_a_number_of_an_array():
    assert scaled([np.float32(0.5)], 0.0, 2.0).over(1).tolist() == [1.0]


@pytest.mark.parametrize("form", FORMS)
def test_a_list_is_the_key_frames_of_every_frame(model, motion, form):
    written = run(apply(model, controlled(motion, text="0: 0, 1: 1, 2: 0.25, 3: 0.5")))
    assert torch.equal(run(apply(model, controlled(motion, FORMS[form]))), written)


def test_a_drawn_curve_goes_over_the_whole_video(model, motion):
    for frames in (3, 4):
        written = run(apply(model, controlled(motion, text="0%: 0, 100%: 1.5")), num_frames=frames)
        assert torch.equal(run(apply(model, controlled(motion, RAMP)), num_frames=frames), written)
    assert curve_of(RAMP, "values").over(1).tolist() == [0.0]


def test_in_windows_a_frame_has_its_own_number(model, motion):
    seen = []
    numbers = [0.1 * frame for frame in range(10)]
    site = motion.patcher.model.sites()["input", 1]
    handle = site.register_forward_pre_hook(lambda layer, args: seen.append(args[2]))
    try:
        run(with_windows(apply(model, controlled(motion, numbers))), num_frames=10, steps=1)
    finally:
        handle.remove()
    assert [(10 * strength.flatten()).round().int().tolist() for strength in seen] == [
        [0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]


@pytest.mark.parametrize("given", [{"values": [0.1 * frame for frame in range(30)]}, {"text": "0: 0, 29: 1"},
                                   {"values": RAMP}], ids=["list", "key frames", "drawn"])
def test_the_numbers_of_a_long_video_are_made_once_in_a_run(model, motion, given, monkeypatch):
    """Not in each of its windows."""
    moved, made = controlled(motion, **given), []
    kind = type(moved.controls[-1].curve)
    original = kind.over
    monkeypatch.setattr(kind, "over", lambda self, frames: made.append(frames) or original(self, frames))
    windowed = with_windows(apply(model, moved))
    for runs in (1, 2):
        run(windowed, num_frames=30, steps=2)
        assert made == [30] * runs


@pytest.mark.parametrize(("values", "message"), [
    (0.5, "strength_values was given the one number 0.5.*Frame Values in between"),
    ([0.5, "much"], "a list with a str in it; expected a list of numbers"),
    ([[0.5], [0.5]], "a list with a list in it"),
    ("0: 1", "was given a str; expected a list of numbers"),
    ([True] * 4, "a list with a bool in it"),
    ([], "an empty list"),
    ([0.5, float("nan"), 1.0, 1.0], "has nan at frame 1; expected finite numbers"),
    ([0.5, 1.0, float("inf"), 1.0], "has inf at frame 2; expected finite numbers"),
    ([0.5, 1.0, 1.0, -0.25], "has -0.25 at frame 3; expected numbers from 0 to 10. Frame Values brings"),
    (LinearCurve([(0.0, 0.0), (1.0, 20.0)]), "expected numbers from 0 to 10"),
])
def test_what_is_no_curve_is_refused_at_once(motion, values, message):
    with pytest.raises(ValueError, match=message):
        controlled(motion, values)


@pytest.mark.parametrize("count", [3, 5])
def test_a_list_for_another_video_is_refused(model, motion, count):
    applied = apply(model, controlled(motion, [1.0] * count))
    for each in (applied, with_windows(applied, length=2)):
        with pytest.raises(ValueError, match=f"strength_values was given {count} numbers for a video of 4 frames"):
            run(each)


def test_text_and_link_at_once_are_refused(motion):
    with pytest.raises(ValueError, match="strength_curve has key frames and strength_values has a link. Use one"):
        controlled(motion, ENVELOPE, "0: 1")
    assert curve_in(" \n", None, "strength", 0, 1) is None


class TestFrameValues:
    """The host gives the node a list of all that comes by its link."""

    @pytest.mark.parametrize("values", [ENVELOPE, [ENVELOPE], [torch.tensor(ENVELOPE)], [FORMS["Frame Values"]]])
    def test_a_list_of_the_host_and_one_list_are_the_same(self, values):
        curve = FrameValues.execute(values, [0.5], [1.5]).result[0]
        assert curve.over(4).tolist() == [0.5, 1.5, 0.75, 1.0]

    def test_a_drawn_curve_stays_one(self):
        curve = FrameValues.execute([LinearCurve([(0.0, 0.0), (1.0, 1.0)])], [1.0], [0.0]).result[0]
        assert curve.over(3).tolist() == [1.0, 0.5, 0.0]
        assert curve.over(5).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]

    def test_0_to_1_changes_no_bit(self):
        numbers = torch.rand(16, generator=torch.Generator().manual_seed(0))
        assert torch.equal(FrameValues.execute([numbers], [0.0], [1.0]).result[0].over(16), numbers)

    def test_nan_is_refused_here_already(self):
        with pytest.raises(ValueError, match="values has nan at frame 1"):
            FrameValues.execute([0.0, float("nan")], [0.0], [1.0])

    def test_the_host_connects_what_other_packs_put_out(self):
        for node in (FrameValues, MotionControl, PromptSchedule, Sampler):
            [socket] = [each for each in node.define_schema().inputs if each.id.endswith("values")]
            for kind in ("FLOAT", "FLOATS", "CURVE", "ANIMATELCM_FRAME_VALUES"):
                assert validate_node_input(kind, socket.get_io_type())
            assert not validate_node_input("IMAGE", socket.get_io_type())


class Words:
    """A text encoder that turns a number, as text, into one token that holds it."""

    def tokenize(self, text):
        return float(text.strip('"'))

    def encode_from_tokens_scheduled(self, number):
        return [[torch.full((1, 1, 1), number), {}]]


def positions(text, values, interpolation="linear", num_frames=4):
    curve = None if values is None else curve_of(values, "position_values", 0.0, 1.0)
    conditioning, _ = encode_schedule(Words(), text, num_frames, interpolation, position=curve)
    return conditioning[0][0].flatten().tolist()


class TestPromptPositions:
    TEXT = '0: "0", 3: "30"'

    def test_a_number_is_a_place_in_the_schedule(self):
        assert positions(self.TEXT, [0.0, 1.0, 0.5, 0.0]) == [0.0, 30.0, 15.0, 0.0]

    def test_an_even_ramp_is_the_schedule_itself(self):
        for interpolation in ("linear", "hold"):
            plain = positions('0: "0", 11: "5", 23: "30"', None, interpolation, 48)
            ramp = positions('0: "0", 11: "5", 23: "30"', LinearCurve([(0, 0), (1, 1)]), interpolation, 48)
            torch.testing.assert_close(ramp, plain, rtol=0, atol=2e-2)
            assert interpolation == "linear" or ramp == plain

    def test_another_number_of_frames_is_refused(self):
        with pytest.raises(ValueError, match="position_values was given 3 numbers for a video of 4 frames"):
            positions(self.TEXT, [0.0, 1.0, 0.5])

    def test_a_number_outside_of_the_schedule_is_refused(self):
        with pytest.raises(ValueError, match="position_values has 1.5 at frame 1; expected numbers from 0 to 1"):
            PromptSchedule.execute(Words(), self.TEXT, 4, "linear", position_values=[0.0, 1.5, 0.5, 1.0])


def sampled(model, sampler, num_frames=4):
    guider = Guider_Basic(model)
    guider.set_conds([[torch.zeros(1, 5, 64), {}]])
    sigmas = torch.tensor([10.0, 5.0, 2.0, 0.0])
    with torch.inference_mode():
        return guider.sample(noise_for(num_frames), torch.zeros(num_frames, 4, 8, 8), sampler, sigmas, seed=3)


class TestFreshNoise:
    def test_a_frame_has_its_own_share(self, model):
        """Without a motion module frames do not see each other, so that each is as in a run of one share for all."""
        curve = sampled(model, Sampler.execute(0.5, "0: 0, 3: 1").result[0])
        for frame, share in enumerate((0.0, 1 / 6, 1 / 3, 0.5)):
            alone = sampled(model, lcm_sampler(share))
            torch.testing.assert_close(curve[frame], alone[frame], rtol=1e-4, atol=1e-4)

    def test_shares_of_1_change_no_bit(self, model):
        plain = sampled(model, lcm_sampler(1.0))
        assert torch.equal(sampled(model, Sampler.execute(1.0, "", [1.0] * 4).result[0]), plain)

    def test_a_list_for_another_video_is_refused(self, model):
        with pytest.raises(ValueError, match="stochasticity_values was given 3 numbers for a video of 4"):
            sampled(model, Sampler.execute(1.0, "", [1.0] * 3).result[0])

    def test_more_than_all_noise_is_refused(self):
        with pytest.raises(ValueError, match="stochasticity_values has 2 at frame 0; expected numbers from 0 to 1"):
            Sampler.execute(1.0, "", [2.0, 0.0])
