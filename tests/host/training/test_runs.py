"""Whole training runs on the tiny model: results, resumes, interrupts, and a host that stays as it was."""

import copyreg
import math
from dataclasses import replace

import comfy.model_management
import pytest
import torch
from animatelcm.host.motion import apply_motion, load_motion
from animatelcm.host.saving import save_motion, write_motion
from animatelcm.host.training import runs
from animatelcm.host.training.dataset import NodeData
from animatelcm.host.training.network import Trainable
from animatelcm.host.training.node_run import checkpoint_path, configure
from animatelcm.motion.trained import Trained
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.snapshots import changed, library_attributes, options_of, parts_of, weights_of
from animatelcm.tests.host.training.training_data import (
    SCHEDULE,
    data,
    distil_motion_module,
    distil_spatial_lora,
    request,
    train_image_encoder,
    tune_motion_module,
)
from animatelcm.tests.support import (
    CONFIG,
    TinyEps,
    conditioning,
    loaded_motion,
    model_from,
    noise_for,
    run,
    unet_weights,
)
from animatelcm.training import memory

pytestmark = pytest.mark.usefixtures("output", "as_in_a_node")


def test_the_estimate_of_a_stage_is_made_from_its_own_passes(model, motion, monkeypatch):
    """Frames cost activations, and the trained weights their gradients and moments."""
    def needs(frames):
        estimates = []
        monkeypatch.setattr(runs, "estimate", lambda *args: estimates.append(memory.estimate(*args)) or estimates[0])
        wanted = request("motion", steps=1).distilling("none", True)
        wanted = replace(wanted, name=f"{frames}", config=replace(wanted.config, num_frames=frames))
        distil_motion_module(model, motion, None, data(frames=4), wanted)
        return estimates[0]

    two, four = needs(2), needs(4)
    assert two.gradients == four.gradients == sum(p.numel() * 4 for p in motion.patcher.model.parameters())
    assert two.copies == 2 * two.gradients and two.optimiser == 2 * two.gradients
    # A step's only batch has no gradients yet where it holds most.
    assert 1.8 < (four.activations + four.gradients) / (two.activations + two.gradients) < 2.2


def trained_lora(model, **shown):
    return distil_spatial_lora(model, data(), request("image", "lora"), **shown)


def test_the_model_is_bit_identical_after_training_and_samples_as_before(model, motion):
    picture = run(apply_motion(model, motion, 1.0, None))
    # Python notes the slots of a class when it first stores one of its objects, as checkpoints do.
    copyreg._slotnames(torch.Tensor)
    # The host notes on a layer that it is loaded; training sends it all back.
    comfy.model_management.unload_all_models()
    state, parts, options, libraries = weights_of(model), parts_of(model.model), options_of(model), library_attributes()
    lora, _ = trained_lora(model)
    trained, _, _ = distil_motion_module(model, motion, lora, data(), request("motion"))
    assert changed(libraries, library_attributes()) == []
    assert options_of(model) == options
    assert parts_of(model.model).keys() == parts.keys()
    assert all(torch.equal(weight, state[key]) for key, weight in model.model.state_dict().items())
    assert torch.equal(run(apply_motion(model, motion, 1.0, None)), picture)
    assert not torch.equal(run(apply_motion(model, trained, 1.0, None)), picture)


def test_every_stage_changes_what_it_trains(model, motion):
    lora, losses = trained_lora(model)
    assert len(losses) == 2
    unchanged = {key for key, tensor in lora.items() if "lora_up" in key and tensor.abs().sum() == 0}
    # The middle has one token here, which attends to itself whatever its query and key are.
    assert unchanged <= {f"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_{part}.lora_up.weight"
                         for part in "qk"}
    trained, same, _ = distil_motion_module(model, motion, lora, data(), request("motion"))
    assert same is lora
    old, new = motion.patcher.model.state_dict(), trained.patcher.model.state_dict()
    assert old.keys() == new.keys() and not any(torch.equal(old[key], new[key]) for key in old)
    followed, _ = train_image_encoder(model, trained, False, data(), request("adapt"))
    assert followed.patcher is trained.patcher
    assert all(weight.abs().sum() > 0 for weight in followed.encoder.model.state_dict().values())
    both, _ = train_image_encoder(model, trained, True, data(), request("adapt", "both"))
    assert not torch.equal(next(both.patcher.model.parameters()), next(trained.patcher.model.parameters()))


def test_a_lora_may_have_layers_that_ours_has_not(model, motion):
    layer = "lora_unet_time_embedding_linear_1"
    sizes = model.get_model_object("diffusion_model").time_embed[0].weight.shape
    lora = {f"{layer}.lora_up.weight": torch.ones(sizes[0], 2), f"{layer}.lora_down.weight": torch.ones(2, sizes[1]),
            f"{layer}.alpha": torch.tensor(2.0)}
    _, same, losses = distil_motion_module(model, motion, lora, data(), request("motion", steps=1))
    assert same is lora and len(losses) == 1


def test_a_module_is_tuned_to_the_rolling_sampler_and_says_so(model, motion, tmp_path):
    """And nothing else is: the given one and the MODEL stay, and so does how it was distilled."""
    phased = replace(motion, trained=Trained(phases=3, how="motion weight 1"))
    before = {key: weight.clone() for key, weight in motion.patcher.model.state_dict().items()}
    tuned, losses = tune_motion_module(model, phased, data(), request("adapt").for_rolling(3))
    assert len(losses) == 2 and all(math.isfinite(loss) for loss in losses)
    assert tuned.encoder is None and tuned.config == motion.config
    new = tuned.patcher.model.state_dict()
    assert not any(torch.equal(before[key], new[key]) for key in before)
    assert all(torch.equal(before[key], weight) for key, weight in motion.patcher.model.state_dict().items())
    how = "motion weight 1; tuned to the Rolling Sampler at 3 steps"
    assert tuned.trained == Trained(phases=3, how=how)
    write_motion(tuned, tmp_path / "mine.safetensors")
    assert load_motion(tmp_path / "mine.safetensors").trained == tuned.trained
    assert Trained().tuned(4).how == "tuned to the Rolling Sampler at 4 steps"


def test_a_module_that_is_tuned_sees_the_noise_of_the_rolling_sampler(model, motion, monkeypatch):
    seen = []

    def forward(own, z, timesteps, *rest, **more):
        seen.append(timesteps.tolist())
        return genuine(own, z, timesteps, *rest, **more)

    genuine = Trainable.forward
    monkeypatch.setattr(Trainable, "forward", forward)
    tune_motion_module(model, motion, data(), request("adapt", steps=1).for_rolling(3))
    # The student's, and the target's one level on, of which the first frame's is the clean latent itself.
    assert sorted(seen) == [[[0, 339, 669]], [[339, 669, 999]]]


def test_all_at_once_gives_a_lora_as_well(model, motion):
    wanted = request("motion").distilling("student", decoupled=False)
    _, lora, _ = distil_motion_module(model, motion, None, data(), wanted)
    assert any(tensor.abs().sum() > 0 for key, tensor in lora.items() if "lora_up" in key)


def test_an_interrupt_keeps_what_was_trained_and_a_resume_goes_on_exactly(model):
    whole, losses = distil_spatial_lora(model, data(), request("image", "whole", steps=3))
    wanted = request("image", "cut", steps=3)
    steps = []

    def interrupt(text):
        if text.startswith("step"):
            steps.append(text)
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        distil_spatial_lora(model, data(), wanted, report=interrupt)
    assert len(steps) == 1
    assert torch.load(checkpoint_path("cut"))["step"] == 1
    resumed, all_losses = distil_spatial_lora(model, data(), wanted)
    assert all_losses == losses
    assert all(torch.equal(tensor, whole[key]) for key, tensor in resumed.items())
    assert not comfy.model_management.in_training


def test_a_run_on_two_threads_gives_the_same_bits_again(model):
    """MKL splits a product among its threads by where in memory it lies, unless it is told not to."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        once, again = [distil_spatial_lora(model, data(), request("image", name, steps=2)) for name in ("a", "b")]
    finally:
        torch.set_num_threads(threads)
    assert once[1] == again[1]
    assert all(torch.equal(tensor, again[0][key]) for key, tensor in once[0].items())


def test_an_interrupt_in_the_middle_of_a_step_keeps_the_steps_before_it(model, monkeypatch):
    """The host's layers look for one, each time they are called."""
    wanted = request("image", "cut", steps=4)
    source = NodeData.source

    def interrupting(*args):
        batches = source(*args)

        def batch(number):
            if number == 2:
                comfy.model_management.interrupt_current_processing()
            return batches(number)

        return batch

    with monkeypatch.context() as patched:
        patched.setattr(NodeData, "source", interrupting)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            distil_spatial_lora(model, data(), wanted)
    assert torch.load(checkpoint_path("cut"))["step"] == 2
    _, resumed = distil_spatial_lora(model, data(), wanted)
    _, losses = distil_spatial_lora(model, data(), replace(wanted, name="whole"))
    assert resumed == losses


def test_what_is_shown_says_how_far_it_is(model):
    lines = []
    trained_lora(model, report=lines.append, preview_every=1)
    assert len(lines) == 3
    assert lines[0].startswith("training needs about 0.")
    assert lines[1].startswith("step 1 of 2, loss 0.") and lines[1].endswith("0 min left")


def test_a_run_that_does_not_fit_is_refused(model, monkeypatch, output):
    monkeypatch.setattr(runs, "estimate", lambda *args: memory.Estimate(0, 0, 2**50, 0, 0))
    with pytest.raises(MemoryError, match="training needs about 1048576.5 GiB .* GiB are free"):
        trained_lora(model)
    assert list(output.iterdir()) == []


def test_a_saved_motion_module_loads_as_it_was(model, motion, output):
    trained, _, _ = distil_motion_module(model, motion, None, data(), request("motion").distilling("none", True))
    followed, _ = train_image_encoder(model, trained, False, data(), request("adapt"))
    path = save_motion(followed, "motion_modules/mine")
    assert path == output / "motion_modules" / "mine_00001_.safetensors"
    loaded = load_motion(path)
    assert (loaded.family, loaded.schedule, loaded.config) == (SCHEDULE, SCHEDULE, motion.config)
    for part in ("patcher", "encoder"):
        written, read = (getattr(module, part).model.state_dict() for module in (followed, loaded))
        assert written.keys() == read.keys() and all(torch.equal(written[key], read[key]) for key in written)
    assert run(apply_motion(model, loaded, 1.0, SCHEDULES[SCHEDULE]), sampler="lcm").isfinite().all()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "", "a/../../b"])
def test_nothing_is_written_outside_the_short_runs(model, motion, name, output):
    with pytest.raises(ValueError, match="leads out of"):
        distil_spatial_lora(model, data(), request("image", name))
    assert list(output.iterdir()) == []


def test_a_motion_module_is_not_saved_outside_the_short_runs(motion):
    with pytest.raises(Exception, match="outside the output folder"):
        save_motion(motion, "../outside")


def test_wrong_data_are_refused(model, motion):
    with pytest.raises(ValueError, match="a clip has 2 frames, training needs 3"):
        distil_motion_module(model, motion, None, data(frames=2), request("motion").distilling("none", True))
    with pytest.raises(ValueError, match="init 'student' starts from a spatial LoRA, and none is connected"):
        distil_motion_module(model, motion, None, data(), request("motion"))


def test_a_preset_gives_way_to_what_the_user_asks_for():
    config = configure("motion", "sd15-24gb", steps=10, learning_rate=0.5, seed=3, num_frames=8)
    assert (config.loop.steps, config.loop.learning_rate, config.seed, config.num_frames) == (10, 0.5, 3, 8)
    kept = configure("motion", "sd15-24gb", steps=0, learning_rate=0, seed=0, num_frames=16)
    assert kept.loop.steps == 10_000
    # A processor computes bfloat16, but slowly.
    assert kept.loop.precision == "float32"


# NodeData and weights that nothing can be trained on.

def spoilt(tensor, bad=float("nan")):
    tensor = tensor.clone()
    tensor.view(-1)[1] = bad
    return tensor


@pytest.mark.parametrize("what, said", [
    ("clip", "clip 2 of 2 holds nan"), ("caption", "the caption of clip 2 of 2 holds nan"),
    ("empty", "the empty caption holds nan"), ("hint", "the hint of clip 2 of 2 holds nan"),
])
def test_numbers_that_are_none_are_named_before_the_first_step(model, motion, what, said, output):
    examples = data(hints=True)
    with torch.inference_mode():
        if what == "clip":
            examples.latents[1]["samples"] = spoilt(examples.latents[1]["samples"])
        elif what == "hint":
            examples.hints[1] = spoilt(examples.hints[1])
        else:
            conditioning = examples.positive[1] if what == "caption" else examples.negative
            conditioning[0][0] = spoilt(conditioning[0][0])
    with pytest.raises(ValueError, match=said):
        train_image_encoder(model, motion, True, examples, request("adapt"))
    assert list(output.iterdir()) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_base_model_with_weights_that_are_no_numbers_is_named(bad, output):
    weights = {key: weight.clone() for key, weight in unet_weights().items()}
    weights["input_blocks.1.0.in_layers.2.weight"].view(-1)[0] = bad
    with pytest.raises(ValueError, match="the MODEL's UNet has 1 tensors with nan or infinite numbers, such as "
                                         "unet.input_blocks.1.0.in_layers.2"):
        trained_lora(model_from(TinyEps, weights))
    assert list(output.iterdir()) == []


def test_a_motion_module_and_a_lora_with_weights_that_are_no_numbers_are_named(model, tmp_path):
    broken = loaded_motion(tmp_path)
    with torch.no_grad():
        next(broken.patcher.model.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match="the motion module has 1 tensors with nan"):
        distil_motion_module(model, broken, None, data(), request("motion").distilling("none", True))
    lora, _ = trained_lora(model)
    key = next(key for key in lora if "lora_up" in key)
    with pytest.raises(ValueError, match="the LoRA is damaged: .*NaN or infinite values"):
        distil_motion_module(model, loaded_motion(tmp_path), {**lora, key: spoilt(lora[key])}, data(),
                             request("motion"))


@pytest.mark.parametrize("change, said", [
    ({"latents": [{"samples": torch.zeros(3, 16, 8, 8)}] * 2}, r"clip 1 has latents of the shape \(3, 16, 8, 8\)"),
    ({"latents": [{"samples": torch.zeros(1, 4, 3, 8, 8)}] * 2}, r"clip 1 has latents of the shape \(1, 4, 3, 8, 8\)"),
    ({"latents": [{"samples": torch.zeros(0, 4, 8, 8)}] * 2}, r"clip 1 has latents of the shape \(0, 4, 8, 8\)"),
    ({"latents": [], "positive": []}, "0 latents and 0 captions"),
    ({"positive": [[[torch.zeros(1, 5, 768), {}]]] * 2}, "the caption of clip 1 was encoded for another model: it has "
                                                         "768 channels, and this MODEL takes 64"),
    ({"positive": [[]] * 2}, "the caption of clip 1 is not encoded"),
    ({"negative": [[torch.zeros(1, 5, 768), {}]]}, "the empty caption was encoded for another model"),
    ({"negative": []}, "the empty caption is not encoded"),
])
def test_data_of_another_kind_are_refused(model, change, said):
    with pytest.raises(ValueError, match=said):
        distil_spatial_lora(model, replace(data(), **change), request("image"))


def test_the_estimate_is_made_from_the_largest_batch(model, monkeypatch):
    """Not from the first, which is of the small clip that most of the data are."""
    sizes = []

    def noted(stage, network, examples, config):
        sizes.append(tuple(examples.latents.shape[-2:]))
        return memory.Estimate(0, 0, 2**50, 0, 0)

    monkeypatch.setattr(runs, "estimate", noted)
    with torch.inference_mode():
        small, large = ({"samples": noise_for(1, 1, size)} for size in (8, 16))
    examples = NodeData([small] * 9 + [large], [conditioning(1)] * 10, conditioning(9))
    with pytest.raises(MemoryError):
        distil_spatial_lora(model, examples, request("image", steps=60))
    assert sizes == [(16, 16)]


def test_more_frames_than_the_motion_module_knows_are_refused(model, tmp_path):
    short = loaded_motion(tmp_path, replace(CONFIG, max_frames=2))
    with pytest.raises(ValueError, match=r"num_frames is 3, and motion-1.safetensors knows at most 2 frames"):
        distil_motion_module(model, short, None, data(), request("motion").distilling("none", True))
