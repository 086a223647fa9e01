"""Files of few-step families: which are recognised, and what a user is told to set."""

import pytest
from animatelcm.motion.files import MotionFileError, read_motion_file, write_motion_file
from animatelcm.motion.formats import ANIMATEDIFF, Signature, find_family
from animatelcm.motion.lora_families import about_lora
from animatelcm.motion.trained import Trained
from animatelcm.tests.motion.files_by_hand import I2V, T2V, V2, adapter, equal, expected_weights, save
from safetensors.torch import save_file

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


# Phased files.

@pytest.mark.parametrize(("name", "tensors", "schedule", "phases"), [
    ("animatelcm_phased_8step.safetensors", T2V, "AnimateLCM text-to-video", 8),
    ("PCM-AnimateLCM.ckpt", T2V, "AnimateLCM text-to-video", 4),
    ("pcm_animatediff_2step.safetensors", V2, "AnimateDiff", 2),
])
def test_a_phased_file_of_others_is_recognised_by_its_name_and_said_to_be_uncertain(tmp_path, name, tensors, schedule,
                                                                                     phases):
    file = read_motion_file(save(tmp_path / name, tensors))
    assert file.family.startswith("phased Animate") and (file.schedule, file.trained.phases) == (schedule, phases)
    advice, doubt = file.sampling.splitlines()
    assert advice == f"{phases} steps, cfg 1, sampler euler, scheduler simple"
    assert doubt.startswith("not certain: that it was trained in phases is what its name says")
    equal(file.weights, expected_weights())


@pytest.mark.parametrize("name", ["pcmx.ckpt", "emphased.ckpt", "my_module.ckpt"])
def test_no_other_name_is_phased(tmp_path, name):
    assert read_motion_file(save(tmp_path / name, T2V)).trained == Trained()


@pytest.mark.parametrize("trained", [Trained(), Trained(4), Trained(8, how="motion weight 1"), Trained(1, guided=False),
                                     Trained(2, guided=False)])
def test_a_module_of_ones_own_says_how_it_was_trained(tmp_path, trained):
    file, path = read_motion_file(save(tmp_path / "a.ckpt", T2V)), tmp_path / "phased_of_mine.safetensors"
    write_motion_file(path, file.weights, file.family, file.schedule, file.config, trained=trained)
    again = read_motion_file(path)
    assert again.trained == trained, "its name has no say"
    assert again.sampling.splitlines()[0] == (trained.sampling or "4 steps, cfg 1, sampler lcm, scheduler simple")
    assert ("cfg 2 to 7" in again.sampling) is not trained.guided


@pytest.mark.parametrize(("facts", "said"), [
    ({"phases": "many"}, "trained in many phases; expected a whole number from 1 to 1000"),
    ({"phases": "0"}, "trained in 0 phases"), ({"phases": "9" * 5000}, "phases; expected"),
    ({"guided": "maybe"}, "its teacher was guided: maybe; expected True or False"),
])
def test_metadata_that_cannot_be_are_refused(tmp_path, facts, said):
    own = {"animatelcm.family": "mine"} | {f"animatelcm.{name}": value for name, value in facts.items()}
    save_file({key: tensor.contiguous() for key, tensor in T2V.items()}, tmp_path / "odd.safetensors", own)
    with pytest.raises(MotionFileError, match=f"odd.safetensors says that .*{said}"):
        read_motion_file(tmp_path / "odd.safetensors")


@pytest.mark.parametrize(("name", "metadata", "said"), [
    ("pcm_sd15_smallcfg_2step_converted.safetensors", {}, "2 steps, cfg 1 to 2, sampler euler"),
    ("PCM_SD15_normalcfg_16step_converted.safetensors", {}, "16 steps, cfg 2 to 7, sampler euler"),
    ("pcm_sd15_lcmlike_lora_converted.safetensors", {}, "4 steps, cfg 1, sampler lcm, schedule LCM"),
    ("mine.safetensors", Trained(8).facts(), "trained in 8 phases.\nsample with 8 steps, cfg 1, sampler euler"),
    ("mine.safetensors", {}, ""),
])
def test_a_phased_lora_is_recognised_by_its_metadata_or_its_released_name(name, metadata, said):
    assert said in about_lora(name, metadata) and bool(said) == bool(about_lora(name, metadata))
