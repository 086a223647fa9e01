"""The rolling sampler on networks small enough to follow."""

from dataclasses import replace

import pytest
import torch
from animatelcm.samplers.lcm import sample_lcm
from animatelcm.samplers.rolling import Queue, Rolling, sample_rolling
from animatelcm.samplers.schedules import SCHEDULES, lcm_timesteps, sigmas

CHANNELS, SIZE = 4, 2
SETTINGS = [Rolling(16), Rolling(16, anchors=4), Rolling(8, anchors=4, gamma=0.3), Rolling(4, gamma=0.0)]
VARIANTS = [Rolling(16, anchors=4, anchor_noise=0.5), Rolling(16, anchors=4, anchor_noise=0.0),
            Rolling(16, parts=2), Rolling(16, anchors=8, parts=2), Rolling(16, anchors=12, parts=4),
            Rolling(16, anchors=4, parts=2, gamma=0.3), Rolling(16, carried=1.0)]
LENGTHS = (1, 3, 4, 15, 16, 17, 18, 37, 48)


def levels(steps: int = 4) -> torch.Tensor:
    known = sigmas(SCHEDULES["AnimateLCM text-to-video"])[lcm_timesteps(100, steps)]
    return torch.cat([known, torch.zeros(1)])


def noise_of(frame: int, level: int) -> torch.Tensor:
    return torch.randn(1, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1000 * frame + level))


def noise(frames: range, level: int) -> torch.Tensor:
    return torch.cat([noise_of(frame, level) for frame in frames])


def start_of(table: torch.Tensor):
    """Return what gives the latents of frames at the first level."""
    return lambda frames: table[0] * noise(frames, 0)


def mixing(x: torch.Tensor, sigma: torch.Tensor, frames: range) -> torch.Tensor:
    """Some smooth function of all frames of a call and their noise, in place of a network."""
    scaled = x / (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
    return torch.sin(scaled + scaled.mean(dim=0)) + 0.1 * torch.tensor(frames).view(-1, 1, 1, 1)


class Counting:
    """A network that notes which frames are given to it, at which noise level."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table, self.calls = table.tolist(), []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, frames: range) -> torch.Tensor:
        assert len(x) == len(sigma) == len(frames)
        self.calls.append(list(zip(frames, map(self.table.index, sigma.tolist()), strict=True)))
        return mixing(x, sigma, frames)


def whole(model, num_frames: int, settings: Rolling, steps: int = 4) -> torch.Tensor:
    table = levels(steps)
    return torch.cat([block for block, _ in sample_rolling(
        model, start_of(table), num_frames, table, settings, noise)])


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_at_equal_noise_it_is_the_normal_sampler(steps, gamma):
    """A video of one window has nothing to roll over: the same bits, given the same noise."""
    table, drawn = levels(steps), iter(range(1, steps))
    normal = sample_lcm(lambda x, sigma: mixing(x, sigma, range(16)), start_of(table)(range(16)), table, gamma,
                        lambda *_: noise(range(16), next(drawn)))
    assert torch.equal(whole(mixing, 16, Rolling(16, gamma=gamma), steps), normal)


def test_with_one_level_windows_are_independent():
    table = levels(1)
    windows = [range(at, at + 16) for at in (0, 16, 32)]
    blocks = [mixing(start_of(table)(frames), table[:1].expand(16), frames) for frames in windows]
    assert torch.equal(whole(mixing, 48, Rolling(16), steps=1), torch.cat(blocks))


@pytest.mark.parametrize("settings", [*SETTINGS, *VARIANTS], ids=str)
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_a_perfect_denoiser_gives_x0_of_every_frame(num_frames, settings):
    x0 = noise(range(num_frames), 99)
    assert torch.equal(whole(lambda x, sigma, frames: noise(frames, 99), num_frames, settings), x0)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("num_frames", [18, 37, 48])
def test_every_frame_passes_every_level_once(num_frames, settings):
    table = levels()
    model = Counting(table)
    whole(model, num_frames, settings)
    count, queue = settings.frames_per_level(4), settings.window - settings.anchors
    passed = {frame: [] for frame in range(num_frames + queue)}
    for number, call in enumerate(model.calls):
        first = count * (number - 3)
        for frame, level in call:
            # In the first three calls all frames are at one level, and each leaves them where it is at its place in
            # the queue; it goes along with the others from there, but what comes of that is not used.
            is_used = level < 3 - frame // count if number < 3 else first <= frame < first + queue
            if is_used:
                passed[frame].append(level)
    assert all(passed[frame] == [0, 1, 2, 3] for frame in range(num_frames))
    assert len(model.calls) == settings.calls(num_frames, 4)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("num_frames", [18, 37, 48])
def test_a_call_has_a_whole_window_of_frames_in_their_order(num_frames, settings):
    """Finished ones are in front at the lowest noise; after the last frame others come along."""
    model = Counting(levels())
    whole(model, num_frames, settings)
    for call in model.calls:
        frames, noise_levels = zip(*call, strict=True)
        assert list(frames) == list(range(frames[0], frames[0] + settings.window))
        assert list(noise_levels) == sorted(noise_levels, reverse=True)
    count = settings.frames_per_level(4)
    assert [level for _, level in model.calls[-1]] == [
        *[3] * (settings.anchors + count), *(level for level in (2, 1, 0) for _ in range(count))]


@pytest.mark.parametrize("settings", [settings for settings in [*SETTINGS, *VARIANTS] if not settings.carried], ids=str)
@pytest.mark.parametrize("num_frames", [18, 37])
def test_what_is_used_of_a_frame_is_one_prediction_at_each_level(num_frames, settings):
    """Each prediction multiplies the frame by its level's prime."""
    table, marks = levels(), torch.tensor([2.0, 3.0, 5.0, 7.0])

    def marking(x, sigma, frames):
        # Anchors may be at another noise; nothing of theirs is used.
        level = (sigma.view(-1, 1) - table[:4]).abs().argmin(1)
        return x * marks[level].view(-1, 1, 1, 1)

    only_marks = replace(settings, gamma=1.0)
    blocks = [block for block, _ in sample_rolling(
        marking, lambda frames: torch.ones(len(frames), CHANNELS, SIZE, SIZE), num_frames, table, only_marks,
        lambda frames, level: torch.zeros(len(frames), CHANNELS, SIZE, SIZE))]
    assert torch.equal(torch.cat(blocks), torch.full((num_frames, CHANNELS, SIZE, SIZE), 2.0 * 3 * 5 * 7))


@pytest.mark.parametrize("settings", [*SETTINGS, *VARIANTS], ids=str)
def test_a_longer_video_begins_as_a_shorter_one(settings):
    assert torch.equal(whole(mixing, 48, settings)[:37], whole(mixing, 37, settings))


@pytest.mark.parametrize("settings", [settings for settings in [*SETTINGS, *VARIANTS] if settings.parts > 1], ids=str)
def test_each_part_is_predicted_behind_the_frames_before_it(settings):
    """They are as many as there are anchors, before the first part finished ones, before others those under way."""
    model = Counting(levels())
    whole(model, 37, settings)
    assert len(model.calls) == settings.calls(37, 4)
    assert all(len(call) == settings.window for call in model.calls)
    size, count = settings.window - settings.anchors, settings.frames_per_level(4)
    last = model.calls[-settings.parts:]
    first = last[0][settings.anchors][0]
    for part, call in enumerate(last):
        frames, noise_levels = zip(*call, strict=True)
        begin = first + part * size - settings.anchors
        assert list(frames) == list(range(begin, begin + settings.window))
        assert list(noise_levels) == [3 - max(frame - first, 0) // count for frame in frames]


def test_anchors_are_at_the_noise_that_was_asked_for():
    table, seen = levels(), []

    def note(x, sigma, frames):
        seen.append((x[:4].std().item(), sigma[:5].tolist()))
        return torch.zeros_like(x)

    for share in (0.0, 0.5, 1.0):
        whole(note, 37, Rolling(16, anchors=4, anchor_noise=share))
        deviation, given = seen[-1]
        lowest = table[3].item()
        assert given == pytest.approx([share * lowest] * 4 + [lowest])
        # Of 64 numbers.
        assert deviation == pytest.approx(share * lowest, rel=0.3)


def test_what_enters_carries_the_last_frame():
    table, brought = levels(), []

    def note(x, sigma, frames):
        brought.append((x[-4:] - start_of(table)(frames[-4:]), frames[-5]))
        # Each frame's x0 is its number.
        return torch.tensor(frames, dtype=x.dtype).view(-1, 1, 1, 1).expand_as(x)

    whole(note, 37, Rolling(16, carried=0.5))
    # Three calls fill the queue, and the fourth moves on what has filled it.
    assert not brought[3][0].any() and len(brought) > 10
    for extra, last in brought[4:]:
        torch.testing.assert_close(extra, torch.full_like(extra, 0.5 * last), rtol=0, atol=1e-5)


def test_memory_is_that_of_a_window():
    """Latents are asked for a few at a time, and only what has just been finished is handed out."""
    table, asked = levels(), []

    def start(frames):
        asked.append(len(frames))
        return start_of(table)(frames)

    blocks = [(len(block), len(queue.x), len(queue.clean)) for block, queue in sample_rolling(
        mixing, start, 62, table, Rolling(16), noise)]
    assert blocks == [(4, 16, 0)] * 15 + [(2, 16, 0)]
    assert asked == [16] + [4] * 16


@pytest.mark.parametrize("settings", [*SETTINGS, *VARIANTS], ids=str)
@pytest.mark.parametrize("stopped", [0, 3, 6])
def test_a_run_that_goes_on_gives_the_same_bits(settings, stopped):
    table = levels()
    run = sample_rolling(mixing, start_of(table), 61, table, settings, noise)
    blocks, queues = map(list, zip(*(next(run) for _ in range(stopped + 1)), strict=True))
    kept = Queue(queues[-1].first, queues[-1].x.clone(), queues[-1].clean.clone())
    blocks += [block for block, _ in sample_rolling(
        mixing, start_of(table), 61, table, settings, noise, kept)]
    assert torch.equal(torch.cat(blocks), whole(mixing, 61, settings))


def test_the_same_network_gives_other_frames_with_other_noise():
    """Otherwise equal bits would prove little."""
    result = whole(mixing, 37, Rolling(16))
    assert not torch.equal(result, whole(mixing, 37, Rolling(16, gamma=0.5)))
    for settings in (Rolling(16, anchors=4), *VARIANTS):
        assert not torch.equal(result, whole(mixing, 37, settings))


@pytest.mark.parametrize(("settings", "steps", "message"), [
    (Rolling(16), 3, "3 steps do not divide a window of 16.*Use 1, 2, 4, 8, 16 steps, or a window of 15 or 18"),
    (Rolling(16, anchors=5), 4, "16 frames of which 5 are anchors: 11 frames.*a window of 13 or 17 frames"),
    (Rolling(4), 8, "8 steps do not divide a window of 4.*a window of 8 frames"),
    (Rolling(15, parts=2), 4, "a window of 15 frames and 2 parts: 30 frames.*a window of 14 or 16 frames"),
])
def test_steps_that_do_not_divide_the_window_are_refused(settings, steps, message):
    with pytest.raises(ValueError, match=message):
        settings.frames_per_level(steps)
    with pytest.raises(ValueError, match=message):
        whole(mixing, 37, settings, steps)


@pytest.mark.parametrize("wrong", [[2.0, 1.0], [2.0, 2.0, 0.0], [0.0], [1.0, 2.0, 0.0]])
def test_noise_that_does_not_fall_to_zero_is_refused(wrong):
    with pytest.raises(ValueError, match="expected falling ones that end in 0"):
        next(sample_rolling(mixing, start_of(levels()), 37, torch.tensor(wrong), Rolling(16), noise))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"parts": 0}, "parts is 0; expected 1 or more"),
    ({"anchor_noise": -0.5}, "anchor_noise is -0.5 .* expected no less than 0"),
    ({"carried": 1.5}, "carried 1.5; expected .* 0 to 1"),
])
def test_a_variant_that_means_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Rolling(**wrong)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"anchors": 16}, {"anchors": -1}])
def test_a_window_without_room_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a window of 1 frame or more and fewer anchors"):
        Rolling(**wrong)


def test_gamma_is_checked():
    with pytest.raises(ValueError, match="gamma is 1.5"):
        Rolling(gamma=1.5)
