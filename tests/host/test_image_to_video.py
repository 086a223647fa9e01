"""A reference image inside the host's UNet: which frames it reaches, how often it is encoded, what runs beside it."""

import contextlib

import comfy.model_management
import comfy.sample
import pytest
import torch
from animatelcm.host.image_to_video import ENCODERS, KeptFeatures, apply_image_to_video
from animatelcm.host.motion import KEY, apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import (
    IMAGE_TO_VIDEO,
    SCHEDULE,
    conditioning,
    loaded_image_to_video,
    loaded_motion,
    noise_for,
    record_calls,
    relative_rms,
    run,
    with_windows,
)
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

WEIGHTS = (1.0, 1.0, 1.0, 1.0)
NOTHING = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_image_to_video(tmp_path_factory.mktemp("motion"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return loaded_image_to_video(tmp_path_factory.mktemp("motion"), seed=2)


@pytest.fixture(scope="module")
def text_to_video(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"), seed=3)


def latents(count=1, size=8, seed=11):
    return torch.randn(count, 4, size, size, generator=torch.Generator().manual_seed(seed)) / 0.18215


def animate(model, motion, given=None, motion_scale=0.8, weights=WEIGHTS, strength=1.0):
    given = latents() if given is None else given
    return apply_image_to_video(model, motion, given, motion_scale, weights, strength, SCHEDULES[IMAGE_TO_VIDEO])


def without_image(model, motion, strength=1.0):
    return apply_motion(model, motion, strength, SCHEDULES[IMAGE_TO_VIDEO])


@contextlib.contextmanager
def encodings(motion):
    """Give a list to which every call of the encoder adds its latents and its number of frames."""
    seen = []
    handle = motion.encoder.model.register_forward_pre_hook(lambda layer, args: seen.append(args[:2]))
    yield seen
    handle.remove()


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_image_scale_and_each_level_have_an_effect(model, motion, cfg):
    plain = run(animate(model, motion), cfg=cfg)
    others = [animate(model, motion, latents(seed=12)), animate(model, motion, motion_scale=0.0)]
    others += [animate(model, motion, weights=tuple(float(i != level) for i in range(4))) for level in range(4)]
    assert all(relative_rms(run(each, cfg=cfg), plain) > 1e-3 for each in others)


@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_weights_of_zero_are_the_module_without_an_image(model, motion, cfg):
    result = run(animate(model, motion, weights=NOTHING), cfg=cfg)
    assert torch.equal(result, run(without_image(model, motion), cfg=cfg))


def test_an_image_is_encoded_once_in_a_run(model, motion):
    applied = animate(model, motion)
    with encodings(motion) as seen:
        results = [run(applied, steps=3, cfg=1.5) for _ in range(2)]
        assert len(seen) == 2
        run(with_windows(applied, overlap=2), num_frames=10, steps=2)
        assert len(seen) == 3
    assert torch.equal(*results)
    assert torch.equal(seen[0][0], latents() * 0.18215)
    assert KeptFeatures not in applied.model_options["transformer_options"]


def test_an_image_for_each_frame(model, motion):
    each = latents(4)
    result = run(animate(model, motion, each))
    assert not torch.equal(result, run(animate(model, motion, each[:1])))
    same = each[:1].repeat(4, 1, 1, 1)
    assert relative_rms(run(animate(model, motion, same)), run(animate(model, motion, each[:1]))) < 1e-5


def test_a_frames_image_reaches_the_other_frames_through_the_motion_module_alone(model, motion):
    each, changed = latents(4), latents(4)
    changed[2] += 1
    still = [run(animate(model, motion, given, strength=0.0), steps=1) for given in (each, changed)]
    assert relative_rms(still[1][[0, 1, 3]], still[0][[0, 1, 3]]) < 1e-6
    assert relative_rms(still[1][2], still[0][2]) > 1e-3
    moving = [run(animate(model, motion, given), steps=1) for given in (each, changed)]
    assert relative_rms(moving[1][[0, 1, 3]], moving[0][[0, 1, 3]]) > 1e-4


@pytest.mark.parametrize(("causal", "windows"), [
    (False, [[0, 1, 2, 3], [4, 5, 6, 7]]), (True, [[0, 1, 2, 3], [3, 4, 5, 6, 7]])])
@pytest.mark.parametrize("cfg", [1.0, 1.5])
def test_a_window_has_the_images_of_its_frames(model, motion, causal, windows, cfg):
    each = latents(8)
    applied = with_windows(animate(model, motion, each), overlap=0, causal=causal)
    with encodings(motion) as seen:
        result = run(applied, num_frames=8, cfg=cfg, steps=1)
    assert [num_frames for _, num_frames in seen] == [len(window) for window in windows]
    for (given, _), window in zip(seen, windows, strict=True):
        assert relative_rms(given, each[window] * 0.18215) < 1e-6
    first = run(animate(model, motion, each[:4]), num_frames=4, cfg=cfg, steps=1)
    assert relative_rms(result[:4], first) < 1e-5


def test_conditionings_together_and_apart_are_the_same(model, motion, monkeypatch):
    applied = animate(model, motion, latents(4))
    calls = record_calls(applied)
    together = run(applied, cfg=1.5)
    monkeypatch.setattr(type(applied), "get_free_memory", lambda *args: 0)
    apart = run(applied, cfg=1.5)
    assert {shape[0] for shape, timesteps in calls} == {4, 8}
    assert relative_rms(apart, together) < 1e-5


def test_beside_another_module_each_does_its_own(model, motion, text_to_video):
    """Before or after: what the image adds belongs to its own module's place in the order."""
    alone = run(animate(model, motion))
    before = animate(without_image(model, text_to_video, 0.0), motion)
    after = without_image(animate(model, motion), text_to_video, 0.0)
    assert torch.equal(run(before), alone)
    assert torch.equal(run(after), alone)
    orders = [run(animate(without_image(model, text_to_video), motion)),
              run(without_image(animate(model, motion), text_to_video))]
    assert relative_rms(orders[0], orders[1]) > 1e-3
    assert all(relative_rms(order, alone) > 1e-3 for order in orders)


def test_two_images_each_go_through_their_own_encoder(model, motion, other):
    def muted(model, each):
        return animate(model, each, latents(seed=12), weights=NOTHING, strength=0.0)

    first, second = run(animate(model, motion)), run(animate(model, other))
    assert torch.equal(run(muted(animate(model, motion), other)), first)
    assert torch.equal(run(animate(muted(model, motion), other)), second)
    both = animate(animate(model, motion), other)
    assert not torch.equal(run(both), first)
    assert [len(both.get_additional_models_with_key(key)) for key in (KEY, ENCODERS)] == [2, 2]


def test_the_host_loads_the_encoder(model, motion):
    applied = animate(model, motion)
    comfy.model_management.unload_all_models()
    run(applied)
    loaded = [each.model.model for each in comfy.model_management.current_loaded_models]
    assert any(each is motion.encoder.model for each in loaded)


def test_the_encoder_can_be_loaded_again(motion):
    """The host does so for another device."""
    load, arguments = motion.encoder.cached_patcher_init
    again = load(*arguments, disable_dynamic=True)
    assert all(torch.equal(weight, again.model.state_dict()[key])
               for key, weight in motion.encoder.model.state_dict().items())


@pytest.mark.parametrize("count", [1, 24])
def test_the_announced_bytes_of_one_window_are_those_that_are_kept(model, motion, count):
    """However many windows there are, and with an image for each frame too."""
    applied, kept = animate(model, motion, latents(count)), []

    def note(executor, x, timesteps, context, y, control, options, **kwargs):
        kept.append(sum(level.nbytes for _, levels in options[KeptFeatures]._kept.values() for level in levels))
        return executor(x, timesteps, context, y, control, options, **kwargs)

    applied.add_wrapper(WrappersMP.DIFFUSION_MODEL, note)
    run(with_windows(applied, length=6, overlap=2), num_frames=24)
    [entry] = applied.model_options["transformer_options"][KEY]
    assert len(kept) > 4 and set(kept) == {entry.insert.kept_bytes(6, 8 * 8, 4)}


def test_features_follow_a_unet_that_is_shrunk_on_the_way(model, motion):
    shrunk = PatchModelAddDownscale.execute(
        model, block_number=3, downscale_factor=2.0, start_percent=0.0, end_percent=1.0, downscale_after_skip=True,
        downscale_method="bicubic", upscale_method="bicubic").result[0]
    result = run(animate(shrunk, motion))
    assert result.isfinite().all()
    assert relative_rms(result, run(without_image(shrunk, motion))) > 1e-3


@pytest.mark.parametrize("cfg", [1.0, 1.5])
@pytest.mark.parametrize(("count", "frames"), [(3, 4), (5, 4), (8, 4), (4, 8)])
def test_another_number_of_images_is_refused(model, motion, count, frames, cfg):
    applied = animate(model, motion, latents(count))
    for each in (applied, with_windows(applied)):
        with pytest.raises(ValueError, match=f"has {frames} frames.* {count} reference images"):
            run(each, num_frames=frames, cfg=cfg)


def test_frames_of_an_unknown_place_are_refused(model, motion):
    """Another pack's windows do not say which frames they are."""
    applied = animate(model, motion, latents(4))
    applied.model_options["model_function_wrapper"] = lambda apply, call: torch.cat([
        apply(call["input"][part], call["timestep"][part], **call["c"]) for part in (slice(0, 2), slice(2, 4))])
    with pytest.raises(ValueError, match="given 2 frames at a time.* 4 reference images"):
        run(applied)


def test_another_size_is_refused(model, motion):
    with pytest.raises(ValueError, match="the video has 64 x 64 pixels.* made 96 x 96"):
        run(animate(model, motion, latents(size=12)))


def test_a_conditioning_for_a_part_of_the_picture_is_refused(model, motion):
    part = [[text, options | {"area": (4, 4, 0, 0), "strength": 1.0}] for text, options in conditioning(1)]
    noise = noise_for(4)
    with pytest.raises(ValueError, match="part of the picture.*Conditioning \\(Set Mask\\)"):
        comfy.sample.sample(animate(model, motion), noise, 1, 1.5, "euler", "simple", part, conditioning(2),
                            torch.zeros_like(noise), disable_pbar=True, seed=0)


def test_a_text_to_video_file_is_refused(model, text_to_video):
    with pytest.raises(ValueError, match=f"{text_to_video.name}.*{SCHEDULE}.* no image encoder.*image-to-video file"):
        animate(model, text_to_video)


@pytest.mark.parametrize("shape", [(1, 16, 8, 8), (1, 4, 2, 8, 8)])
def test_latents_of_another_kind_of_vae_are_refused(model, motion, shape):
    with pytest.raises(ValueError, match="4 channels.*Stable Diffusion 1.5"):
        animate(model, motion, torch.zeros(shape))
