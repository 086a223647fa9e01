"""Files of few-step families: which are recognised, and what a user is told to set."""

import pytest
from animatelcm.motion.files import read_motion_file, write_motion_file
from animatelcm.motion.formats import ANIMATEDIFF, Signature, find_family
from animatelcm.tests.motion.files_by_hand import I2V, T2V, V2, adapter, equal, expected_weights, save

MODULE = {f"module.{key}": tensor for key, tensor in V2.items()}


@pytest.mark.parametrize(("name", "tensors", "steps"), [
    ("animatediff_lightning_4step_comfyui.safetensors", V2, 4),
    ("animatediff_lightning_8step_comfyui.safetensors", MODULE, 8),
    ("animatediff_lightning_2step_diffusers.safetensors", adapter(), 2),
    ("AnimateDiff-Lightning 1 step.ckpt", V2, 1),
    ("animatediff_lightning.safetensors", V2, 4),
])
def test_lightning_is_recognised_by_its_name(tmp_path, name, tensors, steps):
    file = read_motion_file(save(tmp_path / name, tensors))
    assert (file.family, file.schedule, file.config.max_frames) == ("AnimateDiff-Lightning", "AnimateDiff", 32)
    assert file.sampling == f"{steps} steps, cfg 1, sampler euler, scheduler simple"
    equal(file.weights, expected_weights())


def test_a_renamed_lightning_file_keeps_its_schedule(tmp_path):
    file = read_motion_file(save(tmp_path / "fast.safetensors", V2))
    assert (file.family, file.schedule) == ("AnimateDiff v2", "AnimateDiff")


@pytest.mark.parametrize(("name", "tensors", "message"), [
    ("AnimateLCM_sd15_t2v.ckpt", T2V, "4 steps, cfg 1, sampler lcm, scheduler simple"),
    ("AnimateLCM_sd15_i2v.ckpt", I2V, "4 steps, cfg 1, sampler lcm, scheduler simple"),
    ("mm_sd_v15_v2.ckpt", V2, "25 steps, cfg 7.5, any sampler"),
])
def test_other_families_are_told_their_sampling(tmp_path, name, tensors, message):
    assert read_motion_file(save(tmp_path / name, tensors)).sampling == message


def test_a_module_of_ones_own_has_advice_only_for_a_known_family(tmp_path):
    file = read_motion_file(save(tmp_path / "a.ckpt", T2V))
    for family, message in (("AnimateDiff v2", "25 steps"), ("mine", None)):
        path = tmp_path / "own.safetensors"
        write_motion_file(path, file.weights, family, "AnimateDiff", file.config)
        sampling = read_motion_file(path).sampling
        assert sampling is None if message is None else sampling.startswith(message)


@pytest.mark.parametrize(("name", "steps"), [
    ("a_4step_b", 4), ("a-16 steps", 16), ("12_step.ckpt", 12), ("step4", None), ("2stepper", None), ("v2", None)])
def test_steps_in_a_name(name, steps):
    assert Signature(ANIMATEDIFF, True, False, "pe", 32, name).steps == steps


def test_the_middle_block_alone_does_not_make_a_file_lightning():
    assert find_family(Signature(ANIMATEDIFF, True, False, "pe", 32, "lightning.ckpt")).name == "AnimateDiff v2"
