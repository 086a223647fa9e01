"""What the help pages' pictures are made of: prompts that differ in what they say, and in nothing else."""

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES
from animatelcm.tools.workflows.demo_prompts import use_demo_model
from animatelcm.tools.workflows.help_clips import CLIPS_OF, PREFIX, Between, changed, over

register_folders()
SCHEMAS = {schema.node_id: schema for schema in (node.define_schema() for node in NODES)}


def link(*path):
    return list(path)


def test_clips_are_of_our_nodes():
    assert {f"{PREFIX}{name}" for name in CLIPS_OF} <= SCHEMAS.keys()


@pytest.mark.parametrize("compared", CLIPS_OF.values(), ids=CLIPS_OF)
def test_what_is_changed_is_a_socket(compared):
    for values in (compared.always, *compared.clips.values()):
        for place in values:
            kind, _, socket = place.rpartition(".")
            if kind in SCHEMAS:
                assert socket in [each.id for each in SCHEMAS[kind].inputs], place


def test_names_say_the_socket_and_its_value():
    assert over("Sampler", "stochasticity", 0.0, 1.0) == {
        "stochasticity 0.0": {"AnimateLCM_Sampler.stochasticity": 0.0},
        "stochasticity 1.0": {"AnimateLCM_Sampler.stochasticity": 1.0}}


def test_a_change_leaves_the_prompt_as_it_is():
    prompt = {"1": {"class_type": "A", "inputs": {"x": 1, "y": link("2", 0)}}}
    assert changed(prompt, {"A.x": 2}) == {"1": {"class_type": "A", "inputs": {"x": 2, "y": ["2", 0]}}}
    assert prompt["1"]["inputs"]["x"] == 1


def test_a_node_is_put_into_a_link():
    prompt = {"1": {"class_type": "Load", "inputs": {}}, "2": {"class_type": "Use", "inputs": {"motion": link("1", 3)}}}
    Between("Control", "takes", "Use.motion", {"strength": 0.5}).put_into(prompt)
    [key] = prompt.keys() - {"1", "2"}
    assert prompt[key] == {"class_type": "Control", "inputs": {"takes": ["1", 3], "strength": 0.5}}
    assert prompt["2"]["inputs"]["motion"] == [key, 0]


def test_a_link_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"Use\.motion"):
        Between("Control", "takes", "Use.motion").put_into({"1": {"class_type": "Load", "inputs": {}}})


def test_an_example_for_checkpoints_gets_the_demo_model():
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "any.safetensors"}},
        "2": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": link("1", 0), "lora_name": "x",
                                                             "strength_model": 0.8}},
        "3": {"class_type": "AnimateLCM_LoadMotionModule", "inputs": {"motion_file": "AnimateLCM_sd15_t2v.ckpt"}},
        "4": {"class_type": "AnimateLCM_TextToVideo", "inputs": {"width": 512, "height": 512}},
        "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}, "_meta": {"title": "Positive prompt"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "x"}, "_meta": {"title": "Negative prompt"}},
        "7": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    }
    use_demo_model(prompt, "a bee flying up")
    assert prompt["1"] == {"class_type": "AnimateLCM_LoadDemoModel", "inputs": {}}
    assert prompt["2"]["inputs"] == {"model": ["1", 0], "lora_name": "AnimateLCM_demo_lora.safetensors",
                                     "strength_model": 1.0}
    assert prompt["3"]["inputs"]["motion_file"] == "AnimateLCM_demo_t2v.safetensors"
    assert (prompt["4"]["inputs"]["width"], prompt["4"]["inputs"]["height"]) == (128, 128)
    assert (prompt["5"]["inputs"]["text"], prompt["6"]["inputs"]["text"]) == ("a bee flying up", "")
    assert prompt["7"]["inputs"]["image"] == "demo_image.png"
