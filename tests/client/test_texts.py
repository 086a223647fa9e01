"""A prompt goes where the workflow's one positive prompt stands; where that is not certain nothing is written."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from animatelcm.client.workflow import WorkflowError, set_seed, set_text

Prompt = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def encode(text: Any) -> dict[str, Any]:
    return node("CLIPTextEncode", text=text, clip=["1", 1])


def sampler(positive: list[Any], negative: list[Any]) -> dict[str, Any]:
    return node("KSampler", model=["1", 0], positive=positive, negative=negative, seed=1, steps=4)


def prompt(**nodes: dict[str, Any]) -> Prompt:
    """A prompt whose nodes n5, n6 and so on have the ids 5, 6 and so on."""
    return {"1": node("CheckpointLoaderSimple", ckpt_name="a")} | {name[1:]: entry for name, entry in nodes.items()}


PAIR = node("PairConditioningSetProperties", positive_NEW=["5", 0], negative_NEW=["6", 0], strength=1.0,
            hooks=["1", 0])
CONTROL = node("ControlNetApplyAdvanced", positive=["9", 0], negative=["9", 1], control_net=["1", 0], image=["1", 0])
WRITTEN = {
    "pair": prompt(n5=encode("same"), n6=encode("same"), n9=PAIR, n10=sampler(["9", 0], ["9", 1])),
    "pairs behind each other": prompt(n5=encode("same"), n6=encode("same"), n9=PAIR, n8=CONTROL,
                                      n10=sampler(["8", 0], ["8", 1])),
    "pair around the negative alone": prompt(
        n5=encode("x"), n6=encode("ugly"), n10=sampler(["5", 0], ["9", 1]),
        n9=node("ControlNetApplyAdvanced", positive=["6", 0], negative=["6", 0], control_net=["1", 0], image=["1", 0])),
    "guider": prompt(n5=encode("x"), n6=encode("ugly"), n7=node("BasicGuider", model=["1", 0], conditioning=["5", 0]),
                     n8=node("SamplerCustomAdvanced", guider=["7", 0])),
    "guider of two": prompt(n5=encode("x"), n6=encode("ugly"),
                            n7=node("CFGGuider", model=["1", 0], positive=["5", 0], negative=["6", 0], cfg=1.0)),
    "three inputs of a guider": prompt(
        n5=encode("x"), n6=encode("ugly"),
        n7=node("PerpNegGuider", positive=["5", 0], negative=["6", 0], empty_conditioning=["6", 0])),
    "chain": prompt(n5=encode("x"), n6=encode("ugly"), n7=node("FluxGuidance", conditioning=["5", 0], guidance=3.5),
                    n8=node("ReferenceLatent", conditioning=["7", 0], latent=["1", 0]),
                    n9=node("BasicGuider", model=["1", 0], conditioning=["8", 0])),
    "zeroed negative": prompt(n5=encode("x"), n6=encode("ugly"), n7=node("ConditioningZeroOut", conditioning=["5", 0]),
                              n10=sampler(["5", 0], ["7", 0])),
    "one text for both": prompt(n5=encode("x"), n6=encode("ugly"), n10=sampler(["5", 0], ["5", 0])),
    "handed on by a node of one input": prompt(n5=encode("x"), n6=encode("ugly"), n7=node("Reroute", any=["5", 0]),
                                               n10=sampler(["7", 0], ["6", 0])),
    "another sampler without a text": prompt(
        n5=encode("x"), n6=encode("ugly"), n10=sampler(["5", 0], ["6", 0]), n11=sampler(["8", 0], ["8", 1]),
        n8=node("SVD_img2vid_Conditioning", clip_vision=["1", 0], init_image=["10", 0], vae=["1", 2])),
    "two samplers": prompt(n5=encode("x"), n6=encode("ugly"), n10=sampler(["5", 0], ["6", 0]),
                           n11=sampler(["5", 0], ["6", 0])),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_only_the_positive_text_is_written(name: str) -> None:
    changed = copy.deepcopy(WRITTEN[name])
    set_text(changed, "a dog")
    expected = copy.deepcopy(WRITTEN[name])
    expected["5"]["inputs"]["text"] = "a dog"
    assert changed == expected


def test_equal_texts_of_several_nodes_are_one_prompt() -> None:
    changed = prompt(n5=encode("x"), n6=encode("x"), n7=encode("x"), n10=sampler(["5", 0], ["7", 0]),
                     n11=sampler(["6", 0], ["7", 0]))
    for text in ("a dog", "a cat"):
        set_text(changed, text)
        assert [changed[name]["inputs"]["text"] for name in ("5", "6", "7")] == [text, text, "x"]


def test_text_of_two_encoders_in_one_node() -> None:
    changed = prompt(n5=node("CLIPTextEncodeFlux", clip=["1", 1], clip_l="x", t5xxl="x", guidance=3.5),
                     n10=sampler(["5", 0], ["6", 0]), n6=encode("x"))
    set_text(changed, "a dog")
    assert changed["5"]["inputs"] == {"clip": ["1", 1], "clip_l": "a dog", "t5xxl": "a dog", "guidance": 3.5}


@pytest.mark.parametrize("kind", ["CLIPTextEncode", "AnimateLCM_PromptSchedule"])
def test_text_of_a_primitive(kind: str) -> None:
    changed = prompt(n4=node("PrimitiveStringMultiline", value="x"), n5=node(kind, text=["4", 0], clip=["1", 1]),
                     n6=encode("ugly"), n10=sampler(["5", 0], ["6", 0]))
    set_text(changed, "a dog")
    assert changed["4"]["inputs"]["value"] == ("a dog" if kind == "CLIPTextEncode" else '0: "a dog"')
    assert changed["5"]["inputs"]["text"] == ["4", 0]


def test_text_inside_an_exported_subgraph() -> None:
    changed = prompt(n10=sampler(["7:5", 0], ["7:6", 0])) | {"7:5": encode("x"), "7:6": encode("ugly")}
    set_text(changed, "a dog")
    assert [changed[name]["inputs"]["text"] for name in ("7:5", "7:6")] == ["a dog", "ugly"]


def test_the_server_says_which_output_is_positive() -> None:
    unchanged = prompt(n5=encode("x"), n6=encode("y"), n10=sampler(["9", 1], ["9", 2]),
                       n9=node("LTXVReferenceAudio", model=["1", 0], positive=["5", 0], negative=["6", 0]))
    with pytest.raises(WorkflowError, match=r"output 1 of node 9 \(LTXVReferenceAudio\)"):
        set_text(unchanged, "a dog")
    set_text(unchanged, "a dog", {"LTXVReferenceAudio": {"output_name": ["MODEL", "positive", "negative"]}})
    assert [unchanged[name]["inputs"]["text"] for name in ("5", "6")] == ["a dog", "y"]


def test_what_leads_to_a_negative_output_is_behind_the_negative_input() -> None:
    """A sampler may take it as its positive one."""
    changed = prompt(n5=encode("x"), n6=encode("y"), n10=sampler(["9", 1], ["9", 0]), n9=CONTROL | {
        "inputs": {"positive": ["5", 0], "negative": ["6", 0]}})
    set_text(changed, "a dog", {"ControlNetApplyAdvanced": {"output_name": ["positive", "negative"]}})
    assert [changed[name]["inputs"]["text"] for name in ("5", "6")] == ["x", "a dog"]


REFUSED = {
    "regions": (prompt(n5=encode("a sea"), n6=encode("a sky"), n10=sampler(["7", 0], ["6", 0]),
                       n7=node("ConditioningCombine", conditioning_1=["5", 0], conditioning_2=["6", 0])),
                r"5\.text, 6\.text"),
    "two pairs": (prompt(n5=encode("a sea"), n6=encode("ugly"), n7=encode("a sky"), n10=sampler(["9", 0], ["9", 1]),
                         n9=node("PairConditioningCombine", positive_A=["5", 0], negative_A=["6", 0],
                                 positive_B=["7", 0], negative_B=["6", 0])), r"5\.text, 7\.text"),
    "put together": (prompt(n3=node("StringConcatenate", string_a="best", string_b="cat", delimiter=", "),
                            n5=encode(["3", 0]), n6=encode(""), n10=sampler(["5", 0], ["6", 0])),
                     r"node 3 \(StringConcatenate\).*string_a, string_b"),
    "written by a model": (prompt(n3=node("TextGenerate", clip=["1", 1], prompt="a cat"), n5=encode(["3", 0]),
                                  n10=sampler(["5", 0], ["5", 0])), r"node 3 \(TextGenerate\)"),
    "two samplers with prompts of their own": (prompt(n5=encode("x"), n6=encode("y"), n10=sampler(["5", 0], ["6", 0]),
                                                      n11=sampler(["6", 0], ["5", 0])), r"5\.text, 6\.text"),
    "encoders that differ": (prompt(n5=node("CLIPTextEncodeSDXL", text_g="x", text_l="y", clip=["1", 1]),
                                    n10=sampler(["5", 0], ["5", 0])), r"5\.text_g, 5\.text_l"),
    "adds to another": (prompt(n5=encode("x"), n6=encode(""), n10=sampler(["7", 0], ["6", 0]),
                               n7=node("CLIPTextEncodeControlnet", clip=["1", 1], conditioning=["5", 0], text="y")),
                        r"node 7 \(CLIPTextEncodeControlnet\)"),
    "another output of an encoder": (prompt(n5=node("TextEncodePair", text="x", clip=["1", 1]),
                                            n10=sampler(["5", 1], ["5", 0])), r"node 5 \(TextEncodePair\) makes more"),
    "unknown encoder": (prompt(n5=node("TextEncodeAudio", tags="x", lyrics="y", clip=["1", 1]),
                               n10=sampler(["5", 0], ["5", 0])), r"node 5 \(TextEncodeAudio\)"),
    "chosen by a switch": (prompt(n5=encode("x"), n6=encode("y"), n7=node("Switch", a=["5", 0], b=["6", 0], which=1),
                                  n10=sampler(["7", 0], ["6", 0]), n11=sampler(["5", 0], ["6", 0])),
                           r"node 7 \(Switch\)"),
    "no sampler": (prompt(n5=encode("x")), "no text behind"),
    "a text that is taken out": (prompt(n5=encode("x"), n7=node("ConditioningZeroOut", conditioning=["5", 0]),
                                        n10=sampler(["7", 0], ["7", 0])), "no text behind"),
    "nothing behind": (prompt(n10=sampler(["5", 0], ["5", 0])), r"node 10 \(KSampler\).*node 5"),
    "primitive in a circle": (prompt(n3=node("PrimitiveString", value=["4", 0]), n4=node("Pass", value=["3", 0]),
                                     n5=encode(["3", 0]), n10=sampler(["5", 0], ["5", 0])), "in a way that is not"),
    "chain in a circle": (prompt(n5=node("FluxGuidance", conditioning=["6", 0]), n10=sampler(["5", 0], ["5", 0]),
                                 n6=node("FluxGuidance", conditioning=["5", 0])), "no text behind"),
    "one text as a schedule and as it is": (
        prompt(n3=node("PrimitiveString", value="x"), n5=encode(["3", 0]), n10=sampler(["5", 0], ["5", 0]),
               n6=node("AnimateLCM_PromptSchedule", text=["3", 0], clip=["1", 1]), n11=sampler(["6", 0], ["5", 0])),
        r"3\.value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certain_asks_for_the_input(name: str) -> None:
    before, message = REFUSED[name]
    after = copy.deepcopy(before)
    with pytest.raises(WorkflowError, match=message):
        set_text(after, "a dog")
    assert after == before


def test_seed_of_a_primitive() -> None:
    changed = prompt(n4=node("PrimitiveInt", value=3), n10=sampler(["5", 0], ["5", 0]))
    changed["10"]["inputs"]["seed"] = ["4", 0]
    set_seed(changed, 11)
    assert changed["4"]["inputs"]["value"] == 11
    changed["10"]["inputs"]["steps"] = ["4", 0]
    with pytest.raises(WorkflowError, match=r"node 4 \(PrimitiveInt\) feeds steps as well"):
        set_seed(changed, 12)
    assert changed["4"]["inputs"]["value"] == 11
