"""A motion LoRA on a module: the weights that the host makes of it, and that it leaves no trace."""

import contextlib
import dataclasses
import inspect

import comfy.model_management
import folder_paths
import pytest
import torch
from animatelcm.host.folders import register_folders
from animatelcm.host.motion import apply_motion
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.patchers import weights_name
from animatelcm.motion.files import MotionFileError
from animatelcm.nodes.motion_lora import LoadMotionLoRA
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion.files_by_hand import save
from animatelcm.tests.support import SCHEDULE, motion_module, run

WEIGHTS = motion_module().state_dict()
SHAPES = {key: weight.shape for key, weight in WEIGHTS.items()}
PAIRS = {layer: (0.1 * down, 0.1 * up) for layer, (down, up) in by_hand.pairs(SHAPES).items()}
SCALE = 4.0
FORMATS = {
    "AnimateDiff": (by_hand.animatediff(by_hand.attention_only(PAIRS)), None, by_hand.attention_only(PAIRS), 1.0),
    "MotionDirector": (by_hand.motion_director(PAIRS), None, PAIRS, 1.0),
    "diffusers": (by_hand.peft(PAIRS), by_hand.adapter_metadata(lora_alpha=12), PAIRS, SCALE),
    "kohya": (by_hand.kohya(PAIRS, alpha=12.0), None, PAIRS, SCALE),
}


@pytest.fixture(scope="module")
def lora_file(tmp_path_factory):
    tensors, metadata, _, _ = FORMATS["diffusers"]
    return save(tmp_path_factory.mktemp("lora") / "zoom.safetensors", tensors, metadata)


def weights(motion):
    return {key: weight.clone() for key, weight in motion.patcher.model.state_dict().items()}


@contextlib.contextmanager
def loaded(motion):
    """Give the weights of the module while the host has it loaded."""
    comfy.model_management.load_models_gpu([motion.patcher])
    yield motion.patcher.model.state_dict()
    motion.patcher.detach()


def apply(model, motion):
    return apply_motion(model, motion, 1.0, SCHEDULES[SCHEDULE])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_weights_are_w_plus_strength_alpha_over_rank_up_down(motion, tmp_path, name, strength):
    tensors, metadata, pairs, scale = FORMATS[name]
    changed, _ = with_motion_lora(motion, save(tmp_path / "a.safetensors", tensors, metadata), strength)
    added = by_hand.added(pairs, SHAPES, strength * scale)
    with loaded(changed) as patched:
        for key, weight in WEIGHTS.items():
            torch.testing.assert_close(patched[key], weight + added[key] if key in added else weight)
    assert all(torch.equal(weight, WEIGHTS[key]) for key, weight in weights(motion).items())


def test_several_add_up(motion, lora_file):
    once, _ = with_motion_lora(motion, lora_file, 0.75)
    twice, _ = with_motion_lora(once, lora_file, 0.5)
    for each, strength in ((twice, 1.25), (once, 0.75)):
        added = by_hand.added(PAIRS, SHAPES, strength * SCALE)
        with loaded(each) as patched:
            for key, delta in added.items():
                torch.testing.assert_close(patched[key], WEIGHTS[key] + delta)


def test_models_with_and_without_take_turns(model, motion, lora_file):
    """The base, the module and the module with the LoRA give the same bits whichever ran before."""
    changed, _ = with_motion_lora(motion, lora_file, 0.25)
    models = [apply(model, motion), apply(model, changed), model]
    first = [run(each) for each in models]
    assert not torch.equal(first[0], first[1])
    for index in (1, 0, 1, 2, 0):
        assert torch.equal(run(models[index]), first[index])
    comfy.model_management.unload_all_models()
    assert all(torch.equal(weight, WEIGHTS[key]) for key, weight in weights(motion).items())


def test_strength_0_is_the_module_itself(motion, lora_file):
    assert with_motion_lora(motion, lora_file, 0.0)[0] is motion


def test_the_copy_that_the_host_makes_from_the_file_has_the_lora(motion, lora_file):
    """It makes one where it cannot use its dynamic loading, and for another GPU."""
    changed, _ = with_motion_lora(motion, lora_file, 1.0)
    if "force_deepcopy" not in inspect.signature(changed.patcher.clone).parameters:
        pytest.skip("this ComfyUI is older than its dynamic loading and makes no copies")
    copied = changed.patcher.clone(force_deepcopy=True)
    assert copied.model is not motion.patcher.model
    with loaded(changed) as expected, loaded(dataclasses.replace(changed, patcher=copied)) as patched:
        assert not torch.equal(expected["mid_block.motion_modules.0.attentions.0.to_qkv.weight"],
                               WEIGHTS["mid_block.motion_modules.0.attentions.0.to_qkv.weight"])
        assert all(torch.equal(weight, expected[key]) for key, weight in patched.items())


def test_the_node_lists_loads_and_tells(motion, lora_file, monkeypatch):
    register_folders()
    names, suffixes = folder_paths.folder_names_and_paths["animatediff_motion_lora"]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "animatediff_motion_lora",
                        ([str(lora_file.parent), *names], suffixes))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    listed = next(entry for entry in LoadMotionLoRA.define_schema().inputs if entry.id == "lora_file").options
    assert listed == ["zoom.safetensors", "AnimateLCM_demo_sway.safetensors"]
    for strength in (1.0, -0.25):
        patches = LoadMotionLoRA.execute(motion, "zoom.safetensors", strength).result[0].patcher.patches
        assert {each[0] for of_weight in patches.values() for each in of_weight} == {strength}
    assert with_motion_lora(motion, lora_file, 1.0)[1] == f"zoom.safetensors: {len(PAIRS)} layers, rank 3"


def test_a_lora_that_does_not_fit_changes_nothing(motion, tmp_path):
    layer = next(iter(PAIRS))
    path = save(tmp_path / "wide.safetensors", by_hand.animatediff({layer: (torch.ones(3, 99), torch.ones(99, 3))}))
    with pytest.raises(MotionFileError, match=r"wide\.safetensors does not fit"):
        with_motion_lora(motion, path, 1.0)
    assert not motion.patcher.patches


def test_weights_that_differ_have_names_that_differ(motion, tmp_path):
    """A MODEL has each of equal ones once, so that two of one name would be one."""
    tensors, metadata, _, _ = FORMATS["diffusers"]
    layer = next(key for key in tensors if key.endswith("lora_B.weight"))
    files = [(tensors, metadata), (tensors, by_hand.adapter_metadata(lora_alpha=6)),
             (tensors | {layer: tensors[layer] + 1}, metadata)]
    paths = [save(tmp_path / f"{number}.safetensors", *file) for number, file in enumerate(files)]
    first = with_motion_lora(motion, paths[0], 1.0)[0]
    others = [motion, with_motion_lora(motion, paths[0], 0.5)[0], with_motion_lora(first, paths[0], 1.0)[0],
              *(with_motion_lora(motion, path, 1.0)[0] for path in paths[1:])]
    assert len({weights_name(each.patcher) for each in (first, *others)}) == len(others) + 1
    copy = save(tmp_path / "copy.safetensors", tensors, metadata)
    assert weights_name(with_motion_lora(motion, copy, 1.0)[0].patcher) == weights_name(first.patcher)
