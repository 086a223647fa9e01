"""Phased trainings in the host: what a file says of itself, what follows it, and several bases."""

from dataclasses import replace

import comfy.sd
import pytest
import torch
from animatelcm.host.motion import load_motion
from animatelcm.host.saving import write_motion
from animatelcm.host.training import runs
from animatelcm.host.training.bases import Base, load_bases, named_bases
from animatelcm.host.training.node_run import checkpoint_path
from animatelcm.host.weights import WeightsError
from animatelcm.nodes.motion import AUTO, KEEP, chosen_schedule
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import controls
from animatelcm.tests.host.training.training_data import (
    SCHEDULE,
    adapt_control_net,
    data,
    distil_motion_module,
    distil_spatial_lora,
    request,
    train_image_encoder,
)
from animatelcm.training.bases import Bases
from animatelcm.training.checkpoints import CheckpointError
from safetensors.torch import save_file

pytestmark = pytest.mark.usefixtures("output", "as_in_a_node")
LAYER = "lora_unet_down_blocks_0_attentions_0_proj_in"


def asked(stage="motion", name=None, steps=1, guided=True, **changes):
    wanted = request(stage, name, steps).distilling("none", True)
    how = replace(wanted.config.distillation, **({"phases": 4, "target": "student"} | changes))
    return replace(wanted, config=replace(wanted.config, distillation=how)).with_phases(0, guided)


def lora_file(folder, name="ink.safetensors", value=1.0):
    save_file({f"{LAYER}.lora_up.weight": torch.full((32, 2, 1, 1), value), f"{LAYER}.alpha": torch.tensor(2.0),
               f"{LAYER}.lora_down.weight": torch.ones(2, 32, 1, 1)}, folder / name)
    return folder / name


def test_the_file_says_how_it_was_trained_and_the_node_what_to_set(model, motion, tmp_path):
    terms = {"motion_weight": 1.0, "own_samples": 0.5}
    trained, _, losses = distil_motion_module(model, motion, None, data(), asked(**terms))
    assert len(losses) == 1
    write_motion(trained, tmp_path / "mine.safetensors")
    loaded = load_motion(tmp_path / "mine.safetensors")
    for module in (trained, loaded):
        assert module.trained == loaded.trained and module.trained.phases == 4
        schedule, message = chosen_schedule(module, AUTO)
        assert schedule == replace(SCHEDULES[SCHEDULE], phases=4)
        assert message.startswith("sample with 4 steps, cfg 1, sampler euler, scheduler simple.\ntrained in 4 phases; "
                                  "motion weight 1, 50% own samples, target student.\n")
        assert chosen_schedule(module, KEEP)[0] is None
        assert chosen_schedule(module, "AnimateDiff")[0] == SCHEDULES["AnimateDiff"], "no grid, no phases"


def test_without_guidance_the_sampler_has_it(model, motion):
    trained, _, _ = distil_motion_module(model, motion, None, data(), asked(guided=False, phases=1))
    assert trained.sampling == "4 steps, cfg 2 to 7, sampler lcm, scheduler simple"
    assert "negative prompts work" in chosen_schedule(trained, AUTO)[1]


def test_the_papers_own_module_says_no_more_than_it_did(model, motion, tmp_path):
    trained, _, _ = distil_motion_module(model, motion, None, data(), request("motion").distilling("none", True))
    assert trained.sampling is None
    write_motion(trained, tmp_path / "mine.safetensors")
    from safetensors import safe_open
    with safe_open(tmp_path / "mine.safetensors", "pt") as file:
        assert sorted(file.metadata()) == ["animatelcm.family", "animatelcm.heads", "animatelcm.max_frames",
                                           "animatelcm.mid_block", "animatelcm.schedule", "format"]


def test_another_way_to_distil_is_another_training(model, motion):
    distil_motion_module(model, motion, None, data(), asked(name="mine", steps=1))
    changes = {"phases": 2, "target": "average", "motion_weight": 0.5, "own_samples": 0.5, "skip_start": 8}
    said = "phases 2, was 4; target average, was student; motion_weight 0.5, was 0.0; own_samples 0.5, was 0.0; skip"
    with pytest.raises(CheckpointError, match=f"mine.pt belongs to another training: {said}_start 8, was 0"):
        distil_motion_module(model, motion, None, data(), asked(name="mine", **changes))


def test_a_checkpoint_from_before_there_were_phases_goes_on(model):
    """It does not name the settings that came later, which are the paper's."""
    wanted = request("image", "mine", steps=2)
    distil_spatial_lora(model, data(), replace(wanted, config=replace(wanted.config, loop=replace(
        wanted.config.loop, steps=1))))
    whole, _ = distil_spatial_lora(model, data(), replace(wanted, name="whole"))
    path = checkpoint_path("mine")
    state = torch.load(path)
    for name in ("phases", "target", "empty_captions", "motion_weight", "own_samples", "skip_start", "skip_every"):
        assert name in state["origin"]["settings"]
        del state["origin"]["settings"][name]
    torch.save(state, path)
    lora, losses = distil_spatial_lora(model, data(), wanted)
    assert len(losses) == 2 and all(torch.equal(lora[key], tensor) for key, tensor in whole.items())


def test_an_adapter_is_trained_in_the_phases_of_its_module(model, motion, monkeypatch):
    trained, _, _ = distil_motion_module(model, motion, None, data(), asked(steps=1))
    seen, make = [], runs.make_setting
    monkeypatch.setattr(runs, "make_setting", lambda *given: seen.append(make(*given)) or seen[-1])
    followed, _ = train_image_encoder(model, trained, False, data(), request("adapt", steps=1))
    assert seen[0].config.distillation.phases == 4
    assert followed.trained == trained.trained and followed.sampling == trained.sampling
    given = request("adapt", "other", steps=1)
    with pytest.raises(ValueError, match=r"phases is 2, and motion was trained in 4\. Leave phases out"):
        train_image_encoder(model, trained, False, data(), given.with_phases(2, True))
    adapted, losses = adapt_control_net(model, trained, controls.control_net(), data(hints=True),
                                        request("adapt", "control", steps=1))
    assert adapted is not None and len(losses) == 1


# Several bases.

def test_a_run_on_one_base_is_a_run_on_that_model(model, motion, tmp_path, monkeypatch):
    """Bit for bit, in its loss and in what comes out."""
    base = Base(lora_file(tmp_path), 0.5)
    bases = tuple(load_bases(model, [base]))
    for index, alone in enumerate((model, bases[0])):
        monkeypatch.setattr(Bases, "index_of", lambda self, number, index=index: index)
        among = distil_motion_module(model, motion, None, data(), replace(asked(name=f"{index}"), bases=bases))
        only = distil_motion_module(alone, motion, None, data(), asked(name=f"alone {index}"))
        assert among[2] == only[2]
        weights = (made[0].patcher.model.state_dict() for made in (among, only))
        assert all(torch.equal(*pair) for pair in zip(*(each.values() for each in weights), strict=True))


def test_bases_go_with_a_spatial_lora_and_previews_and_checkpointing(model, motion, tmp_path):
    lora, _ = distil_spatial_lora(model, data(), request("image", "lora", steps=1))
    bases = tuple(load_bases(model, [Base(lora_file(tmp_path)), Base(lora_file(tmp_path, "oil.safetensors", -1.0))]))
    losses = []
    for again in (False, True):
        wanted = request("motion", f"{again}", steps=2)
        wanted = replace(wanted, config=replace(wanted.config, gradient_checkpointing=again), bases=bases)
        losses.append(distil_motion_module(model, motion, lora, data(), wanted, preview_every=2)[2])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_other_bases_are_another_training(model, motion, tmp_path):
    one, other = (tuple(load_bases(model, [Base(lora_file(tmp_path, f"{value}.safetensors", value))]))
                  for value in (1.0, 2.0))
    wanted = asked(name="mine", steps=1)
    distil_motion_module(model, motion, None, data(), replace(wanted, bases=one))
    for bases, said in ((other, "other bases"), ((), "without bases, was with")):
        with pytest.raises(CheckpointError, match=said):
            distil_motion_module(model, motion, None, data(), replace(wanted, bases=bases))


def test_bases_are_named_a_line_each_with_a_strength_or_by_their_folder(tmp_path):
    (tmp_path / "styles").mkdir()
    for name in ("b.safetensors", "a.safetensors", "notes.txt"):
        (tmp_path / "styles" / name).touch()
    lines = ["ink.safetensors: 0.8", "", "  styles ", "v1: best.safetensors", "oil.safetensors:-1"]
    found = named_bases(lines, lambda name: tmp_path / name)
    assert [(base.path.name, base.strength) for base in found] == [
        ("ink.safetensors", 0.8), ("a.safetensors", 1.0), ("b.safetensors", 1.0), ("v1: best.safetensors", 1.0),
        ("oil.safetensors", -1.0)]
    with pytest.raises(ValueError, match="the base ink has the strength 20; expected -10 to 10"):
        named_bases(["ink: 20"], lambda name: tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="the folder of bases empty holds no LoRA or checkpoint"):
        named_bases(["empty"], lambda name: tmp_path / name)


def test_what_is_no_base_is_named(model, tmp_path):
    foreign = tmp_path / "text.safetensors"
    save_file({"lora_te_text_model_encoder.lora_up.weight": torch.ones(4, 2),
               "lora_te_text_model_encoder.lora_down.weight": torch.ones(2, 4)}, foreign)
    with pytest.raises(WeightsError, match="text.safetensors changes no layer of the MODEL"):
        load_bases(model, [Base(foreign)])
    with pytest.raises(WeightsError, match="gone.safetensors is not there"):
        load_bases(model, [Base(tmp_path / "gone.safetensors")])
    plain = tmp_path / "plain.safetensors"
    save_file({"some.weight": torch.ones(2)}, plain)
    with pytest.raises(WeightsError, match="leave the strength of a checkpoint out"):
        load_bases(model, [Base(plain, 0.5)])
    with pytest.raises(WeightsError, match="plain.safetensors"):
        load_bases(model, [Base(plain)])


def test_a_checkpoint_is_a_base_by_its_unet(model, tmp_path, monkeypatch):
    other = comfy.sd.load_lora_for_models(model, None, {
        f"{LAYER}.lora_up.weight": torch.ones(32, 2, 1, 1), f"{LAYER}.lora_down.weight": torch.ones(2, 32, 1, 1)},
        1.0, 0.0)[0]
    monkeypatch.setattr("animatelcm.host.training.bases.load_checkpoint", lambda path: (other, None, None))
    save_file({"model.diffusion_model.weight": torch.ones(2)}, tmp_path / "whole.safetensors")
    assert load_bases(model, [Base(tmp_path / "whole.safetensors")]) == [other]
