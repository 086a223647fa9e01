"""The rolling sampler on the host: which frames, prompts, hints, masks and references its calls bring together."""

from dataclasses import replace

import comfy.model_management
import comfy.sample
import pytest
import torch
from animatelcm.host import rolling
from animatelcm.host.control_strength import with_frame_strength
from animatelcm.host.controls import Factor
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.host.motion import apply_motion
from animatelcm.host.rolling import Recording, RollingSampler
from animatelcm.host.sampling import lcm_sampler, scheduled_sigmas
from animatelcm.nodes.controls import MotionControl
from animatelcm.samplers.noise_order import noise_source
from animatelcm.samplers.rolling import Rolling
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe, snapshots
from animatelcm.tests.host.controls import KINDS, controlled, hints
from animatelcm.tests.host.test_ip_adapter import Adapter
from animatelcm.tests.support import (
    CONTEXT_DIM,
    SCHEDULE,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    noise_for,
    record_calls,
    relative_rms,
)
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import (
    BasicGuider,
    Noise_RandomNoise,
    SamplerCustom,
    SamplerCustomAdvanced,
)
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

from nodes import ConditioningSetMask, ConditioningSetTimestepRange

TOTAL = 13
QUEUE, ANCHORED = Rolling(8), Rolling(8, anchors=4)
ONE_PIECE = Rolling(64)
"""As many frames as the motion module knows: at equal noise."""
VARIANTS = [Rolling(8, parts=2), Rolling(8, anchors=4, parts=2), Rolling(8, anchors=4, anchor_noise=0.0)]
PHASED = replace(SCHEDULES[SCHEDULE], phases=4)
both = pytest.mark.parametrize("settings", [QUEUE, ANCHORED], ids=["queue", "anchors"])


def roll(model, settings=QUEUE, num_frames=TOTAL, positive=None, negative=None, cfg=1.0, noise=None, latent=None,
         mask=None, steps=4, denoise=1.0, seed=7, callback=None, sampler=None):
    """Sample as SamplerCustom does."""
    noise = noise_for(num_frames) if noise is None else noise
    sigmas, _ = scheduled_sigmas(model, steps, denoise)
    with torch.inference_mode():
        return comfy.sample.sample_custom(
            model, noise, cfg, sampler or RollingSampler(settings), sigmas, positive or conditioning(1),
            negative or conditioning(2), torch.zeros_like(noise) if latent is None else latent, noise_mask=mask,
            callback=callback, disable_pbar=True, seed=seed)


@pytest.fixture
def moving(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


@pytest.fixture
def still(model, motion):
    """A MODEL whose frames are independent: how they are put together in calls makes no difference."""
    return apply_motion(model, motion, 0.0, SCHEDULES[SCHEDULE])


@pytest.fixture
def without_noise(monkeypatch):
    """Frames keep their number from call to call; those after the last one have its number."""
    def noise_of(self, frames, level):
        marked = probe.frames(TOTAL, 4, 8)[[min(frame, TOTAL - 1) for frame in frames]]
        return torch.zeros_like(marked) if level else marked

    monkeypatch.setattr(rolling._Run, "noise_of", noise_of)


def prompts(count):
    return [[torch.cat([conditioning(seed)[0][0] for seed in range(count)]), {}]]


class TestWhatBelongsToAFrame:
    """Asked of the UNet and of what is called beside it, in every call."""

    @both
    def test_prompts(self, moving, without_noise, settings):
        unet = probe.Probe()
        roll(unet.on(moving), settings, noise=probe.frames(TOTAL, 4, 8), positive=probe.prompts(TOTAL),
             negative=probe.prompts(TOTAL, tokens=3), cfg=1.5)
        assert unet.contexts == unet.frames
        assert {frame for call in unet.frames for frame in call} == set(range(TOTAL))
        assert all(options["ad_params"]["sub_idxs"] * len(options["cond_or_uncond"]) == call
                   and options["ad_params"]["full_length"] == TOTAL
                   for options, call in zip(unet.options, unet.frames, strict=True))

    @both
    def test_hints(self, moving, without_noise, settings):
        network, adapter, unet = probe.HintProbe(), probe.HintProbe(), probe.Probe()
        images = probe.frames(TOTAL, 3, 64).movedim(1, -1)
        conds = controlled(probe.t2i_adapter(adapter), images)
        positive, negative = controlled(probe.control_net(network), images, before=conds)
        roll(unet.on(moving), settings, noise=probe.frames(TOTAL, 4, 8), positive=positive, negative=negative, cfg=1.5)
        assert network.frames == network.hints == adapter.hints == unet.frames

    @both
    def test_reference_images(self, model, without_noise, settings, tmp_path):
        loaded = loaded_image_to_video(tmp_path)
        animated = apply_image_to_video(model, loaded, probe.frames(TOTAL, 4, 8), 0.8, (1.0,) * 4, 1.0, None)
        encoded, unet = [], probe.Probe()
        handle = loaded.encoder.model.register_forward_pre_hook(
            lambda layer, args: encoded.append(probe.numbers(args[0])))
        roll(unet.on(animated), settings, noise=probe.frames(TOTAL, 4, 8))
        handle.remove()
        # The calls before the queue is full have the same frames and are encoded once.
        repeated = [call for number, call in enumerate(unet.frames) if not number or call != unet.frames[number - 1]]
        assert encoded == repeated

    def test_curves_and_masks_of_motion(self, model, motion):
        masks = torch.rand(TOTAL, 8, 8)
        moved = MotionControl.execute(motion, 0.0, 1.0, f"0: 0, {TOTAL - 1}: 1", masks).result[0]
        applied, strengths, calls = apply_motion(model, moved, 1.0, SCHEDULES[SCHEDULE]), [], probe.Probe()
        site = motion.patcher.model.sites()["input", 1]
        handle = site.register_forward_pre_hook(lambda layer, args: strengths.append(args[2]))
        applied.add_wrapper(WrappersMP.APPLY_MODEL, lambda executor, *args, **kwargs: (
            calls.options.append(args[5]) or executor(*args, **kwargs)))
        roll(applied)
        handle.remove()
        for strength, options in zip(strengths, calls.options, strict=True):
            frames = options["context_window"].index_list
            expected = torch.tensor(frames).view(-1, 1, 1, 1) / (TOTAL - 1) * masks[frames][:, None]
            torch.testing.assert_close(strength, expected)

    def test_one_reference_image_belongs_to_the_first_frames(self, model, without_noise, tmp_path):
        loaded = loaded_image_to_video(tmp_path)
        animated = apply_image_to_video(model, loaded, noise_for(1, seed=5), 0.8, (1.0,) * 4, 1.0, None)
        features, unet = [], probe.Probe()
        animated.add_wrapper(WrappersMP.DIFFUSION_MODEL, lambda executor, x, *args, **kwargs: (
            features.append(args[-1] if args else None) or executor(x, *args, **kwargs)))
        seen = []
        insert = animated.model_options["transformer_options"]["animatelcm"][0].insert
        original = type(insert).sites

        def note(self, base, x, num_frames, options):
            sites = original(self, base, x, num_frames, options)
            seen.append((options["context_window"].index_list, next(iter(sites.values())).features))
            return sites

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(insert), "sites", note)
            roll(unet.on(animated), noise=probe.frames(TOTAL, 4, 8))
        first = dict(zip(*seen[0], strict=True))
        assert list(first) == list(range(8))
        for frames, rows in seen:
            for frame, row in zip(frames, rows, strict=True):
                assert torch.equal(row, first[frame]) if frame < 8 else not row.any()


class TestIndependentFramesAreOnePiece:
    """Where the motion module is the identity, all that a frame meets is what it meets at equal noise."""

    def compare(self, model, settings=QUEUE, **given):
        """Return the video of one piece, whose random UNet makes early steps weigh far more than late ones."""
        whole = roll(model, ONE_PIECE, **given)
        assert relative_rms(roll(model, settings, **given), whole) < 1e-6
        return whole

    @pytest.mark.parametrize("settings", [QUEUE, ANCHORED, *VARIANTS], ids=str)
    def test_prompts(self, still, settings):
        self.compare(still, settings, positive=prompts(TOTAL), cfg=1.5)

    def test_less_noise(self, still):
        whole = roll(still, Rolling(64, gamma=0.3))
        assert relative_rms(roll(still, Rolling(8, gamma=0.3)), whole) < 1e-6
        assert relative_rms(roll(still), whole) > 1e-5

    def test_a_given_video(self, still):
        given = {"latent": noise_for(TOTAL, seed=3), "denoise": 0.5}
        whole = self.compare(still, **given)
        assert relative_rms(roll(still, **given | {"latent": noise_for(TOTAL, seed=4)}), whole) > 1e-3

    @pytest.mark.parametrize(("kind", "start", "end"), [
        ("ControlNet", 0.3, 1.0), ("ControlNet", 0.0, 0.6), ("ControlNet-LoRA", 0.0, 0.6), ("T2I-Adapter", 0.3, 1.0)])
    def test_hints_in_their_part_of_the_steps(self, still, kind, start, end):
        control, images = KINDS[kind](), hints(TOTAL)
        positive, negative = controlled(control, images, 0.7, start, end)
        whole = self.compare(still, positive=positive, negative=negative, cfg=1.5)
        for other in (controlled(control, images.flip(0), 0.7, start, end), controlled(control, images, 0.7, 0.5, 0.7)):
            assert relative_rms(roll(still, positive=other[0], negative=other[1], cfg=1.5), whole) > 1e-5

    def test_a_control_within_another_in_its_part_of_the_steps(self, still):
        control = with_frame_strength(KINDS["ControlNet"](), Factor("ControlNet Strength", 0.8))
        positive, negative = controlled(control, hints(TOTAL), 0.7, 0.3, 1.0)
        self.compare(still, positive=positive, negative=negative, cfg=1.5)

    def test_several_controls_in_different_parts(self, still):
        conds = None
        for (name, kind), (start, end) in zip(KINDS.items(), [(0.0, 0.5), (0.5, 1.0), (0.2, 0.8)], strict=True):
            conds = controlled(kind(), hints(TOTAL, len(name)), 0.7, start, end, before=conds)
        self.compare(still, positive=conds[0], negative=conds[1], cfg=1.5)

    @pytest.mark.parametrize("masked", [False, True])
    def test_conditionings_in_their_part_of_the_steps(self, still, masked):
        early, = ConditioningSetTimestepRange().set_range(prompts(TOTAL), 0.0, 0.4)
        late, = ConditioningSetTimestepRange().set_range(conditioning(5), 0.4, 1.0)
        if masked:
            early, = ConditioningSetMask().append(early, torch.rand(TOTAL, 8, 8), "default", 0.8)
        whole = self.compare(still, positive=early + late + conditioning(6), cfg=1.5)
        assert relative_rms(roll(still, positive=early + conditioning(6), cfg=1.5), whole) > 1e-5

    def test_no_conditioning_for_some_of_the_steps(self, still):
        only, = ConditioningSetTimestepRange().set_range(conditioning(5), 0.4, 1.0)
        self.compare(still, positive=only)

    @both
    def test_masks_of_the_noise(self, still, settings):
        masks, latent = torch.rand(TOTAL, 8, 8), noise_for(TOTAL, seed=3)
        whole = self.compare(still, settings, latent=latent, mask=masks.round())
        kept = masks.round()[:, None].expand_as(latent) == 0
        torch.testing.assert_close(whole[kept], latent[kept])
        self.compare(DifferentialDiffusion.execute(still).result[0], settings, latent=latent, mask=masks)

    def test_ip_adapters(self, still):
        images = torch.randn(TOTAL, 4, CONTEXT_DIM, generator=torch.Generator().manual_seed(1))
        self.compare(Adapter(images).on(still), cfg=1.5)


def test_at_equal_noise_it_is_the_normal_sampler(moving):
    """Calls go through the host as one of another sampler does: the same bits."""
    ours = roll(moving, Rolling(16, gamma=0.0), num_frames=16, cfg=1.5)
    assert torch.equal(ours, roll(moving, sampler=lcm_sampler(0.0), num_frames=16, cfg=1.5))


@both
def test_a_call_has_a_timestep_for_each_frame(moving, settings):
    calls = record_calls(moving)
    roll(moving, settings)
    assert {shape[0] for shape, _ in calls} == {8}
    assert [timesteps for _, timesteps in calls[:3]] == [[step] * 8 for step in (999.0, 749.0, 499.0)]
    queue = [249.0] * 2 + [499.0] * 2 + [749.0] * 2 + [999.0] * 2
    # With anchors, one frame is finished by then, and three of pure noise come along.
    assert calls[4][1] == (queue if settings is QUEUE else [249.0] * 2 + [499.0, 749.0, 999.0] + [999.0] * 3)
    assert calls[-1][1] == (queue if settings is QUEUE else [249.0] * 5 + [499.0, 749.0, 999.0])
    assert len(calls) == settings.calls(TOTAL, 4)


@both
def test_the_same_seed_gives_the_same_bits(moving, settings):
    first = roll(moving, settings)
    assert torch.equal(roll(moving, settings), first)
    assert relative_rms(roll(moving, settings, seed=8), first) > 1e-3


def test_a_frames_noise_does_not_depend_on_the_length_of_the_video(still):
    assert relative_rms(roll(still, num_frames=13), roll(still)[:13]) < 1e-5


@pytest.mark.parametrize("recorded", [False, True])
def test_the_same_noise_comes_back_in_another_order(still, recorded):
    """Where frames are independent, the same noise is the same picture."""
    sampler, blocks, given = RollingSampler(QUEUE, same_noise=True), [], {}
    if recorded:
        sampler = replace(sampler, recording=Recording(TOTAL, blocks.append))
        given = {"noise": torch.zeros(8, 4, 8, 8), "latent": torch.zeros(1, 4, 8, 8)}
    whole = roll(still, sampler=sampler, **given)
    frames = torch.cat(blocks) if recorded else whole
    sources = [noise_source(frame, 8, 2, 7) for frame in range(TOTAL)]
    assert max(sources) < 8
    assert relative_rms(frames, frames[sources]) < 1e-5
    own = roll(still)
    assert relative_rms(own, own[sources]) > 0.1


@pytest.mark.parametrize("settings", [QUEUE, ONE_PIECE])
def test_a_recorded_video_is_the_same_in_parts(moving, settings):
    """Of the whole video nothing is there: the noise is made as it is asked for."""
    blocks = []
    recorded = RollingSampler(settings, Recording(TOTAL, blocks.append))
    roll(moving, sampler=recorded, noise=torch.zeros(8, 4, 8, 8), latent=torch.zeros(1, 4, 8, 8),
         positive=prompts(TOTAL))
    assert {len(block) for block in blocks} == ({2, 1} if settings is QUEUE else {TOTAL})
    noise = torch.stack([torch.randn(4, 8, 8, generator=rolling._generator(7, frame, 0)) for frame in range(TOTAL)])
    reports = []
    roll(moving, settings, noise=noise, positive=prompts(TOTAL), callback=lambda *args: reports.append(args))
    assert torch.equal(torch.cat(blocks), reports[-1][1])


def test_in_both_of_the_hosts_nodes(moving):
    sigmas, latent = scheduled_sigmas(moving, 4)[0], {"samples": torch.zeros(TOTAL, 4, 8, 8)}
    with torch.inference_mode():
        first, denoised = SamplerCustom.execute(moving, True, 7, 1.0, conditioning(1), conditioning(2),
                                                RollingSampler(QUEUE), sigmas, latent).result
        guider = BasicGuider.execute(moving, conditioning(1)).result[0]
        second, _ = SamplerCustomAdvanced.execute(
            Noise_RandomNoise(7), guider, RollingSampler(QUEUE), sigmas, latent).result
    assert first["samples"].shape == denoised["samples"].shape == (TOTAL, 4, 8, 8)
    assert torch.equal(first["samples"], second["samples"])
    assert relative_rms(denoised["samples"], first["samples"]) < 1e-6


def test_progress_goes_to_the_last_call(moving):
    reports = []
    result = roll(moving, callback=lambda step, x0, x, total: reports.append((step, total, x0)))
    calls = QUEUE.calls(TOTAL, 4)
    assert [(step, total) for step, total, _ in reports] == [
        *((step, calls) for step in range(calls)), (calls - 1, calls)]
    assert relative_rms(reports[-1][2] / 0.18215, result) < 1e-6


def test_modules_follow_one_another_over_the_steps(model, motion, tmp_path):
    """Each frame has the module of its own noise level: 999 and 749 in the first half of the steps."""
    second = loaded_motion(tmp_path, seed=2)
    model = apply_motion(model, MotionControl.execute(motion, 0.0, 0.5, "").result[0], 1.0, SCHEDULES[SCHEDULE])
    model = apply_motion(model, MotionControl.execute(second, 0.5, 1.0, "").result[0], 0.7, None)
    strengths = {0: [], 1: []}
    for number, loaded in enumerate((motion, second)):
        loaded.patcher.model.sites()["input", 1].register_forward_pre_hook(
            lambda layer, args, number=number: strengths[number].append(args[2]))
    roll(model)
    assert strengths[0][:2] == [1.0, 1.0], "all frames of the first calls are at strong noise"
    assert strengths[0][4].flatten().tolist() == [0.0] * 4 + [1.0] * 4
    # It is not called before the third call, where all are at 499.
    torch.testing.assert_close(strengths[1][2].flatten(), torch.tensor([0.7] * 4 + [0.0] * 4))
    torch.testing.assert_close(strengths[1][-1].flatten(), torch.tensor([0.7] * 4 + [0.0] * 4))


def test_announced_memory_is_that_of_a_window(moving):
    announced = []
    moving.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, "test", lambda executor, model, shape, *args, **kwargs: (
        announced.append(list(shape)) or executor(model, shape, *args, **kwargs)))
    for num_frames in (16, 64):
        roll(moving, num_frames=num_frames, steps=1)
    assert announced[0] == announced[1]
    assert announced[0][0] == 8


@pytest.mark.parametrize(("call", "error"), [(1, InterruptProcessingException()), (4, RuntimeError("a failure"))])
def test_a_run_that_breaks_off_leaves_everything_as_it_was(model, motion, call, error):
    watch = snapshots.Watch(model)
    moving, control, images = apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE]), KINDS["ControlNet"](), hints(TOTAL)
    positive, negative = controlled(control, images, 0.7, 0.3, 1.0)
    given = {"positive": positive, "negative": negative, "cfg": 1.5}
    complete, kept, left = roll(moving, **given), positive[0][1]["control"], [call]
    names = ("strength", "timestep_percent_range", "cond_hint_original", "previous_controlnet")
    before = [id(vars(kept)[name]) for name in names]

    def break_off(layer, args):
        left[0] -= 1
        if left[0] < 0:
            raise error

    handle = control.control_model.register_forward_pre_hook(break_off)
    with pytest.raises(type(error)):
        roll(moving, **given)
    handle.remove()
    assert [id(vars(kept)[name]) for name in names] == before
    watch.check()
    assert torch.equal(roll(moving, **given), complete)


def test_an_interrupt_between_two_calls(moving):
    interrupted = moving.clone()

    def interrupt(executor, *args, **kwargs):
        comfy.model_management.interrupt_current_processing()
        return executor(*args, **kwargs)

    interrupted.add_wrapper(WrappersMP.DIFFUSION_MODEL, interrupt)
    calls = record_calls(interrupted)
    with pytest.raises(InterruptProcessingException):
        roll(interrupted)
    assert len(calls) == 1


def test_a_module_that_was_trained_in_phases_gets_no_fresh_noise(model, motion):
    """Where the sampler follows what the file says; the noise of frames that enter later is still their own."""
    moving = apply_motion(model, motion, 1.0, PHASED)
    still = roll(moving, sampler=RollingSampler(Rolling(8, gamma=0.0)))
    assert torch.equal(roll(moving, sampler=RollingSampler(QUEUE, auto=True)), still)
    assert not torch.equal(roll(moving), still)
    others = apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])
    assert torch.equal(roll(others, sampler=RollingSampler(QUEUE, auto=True)), roll(others))
