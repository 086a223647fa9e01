"""Old graphs become new ones: what maps, what is said about the rest, and what stays as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from animatelcm.migration.migrate import migrate
from animatelcm.migration.shapes import SHAPES
from animatelcm.tests.migration.old_graphs import FRAMES, GRAPHS, SIZE, Old, as_prompt

STAY = {"LoraLoaderModelOnly", "KSampler", "SolidMask", "LoadImage", "CLIPVisionLoader"}
"""Nodes of ComfyUI in the old graphs."""


def by_kind(workflow: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the nodes of a kind of either form, each with its inputs by name: values, or links as [kind, output]."""
    if "nodes" not in workflow:
        return [node | {"inputs": {name: [workflow[value[0]]["class_type"], value[1]] if isinstance(value, list) else
                                   value for name, value in node["inputs"].items()}}
                for node in workflow.values() if node["class_type"] == kind]
    kinds = {node["id"]: node["type"] for node in workflow["nodes"]}
    links = {}
    for link in workflow["links"]:
        entry = list(link.values()) if isinstance(link, dict) else link
        links[entry[0]] = [kinds[entry[1]], entry[2]]
    found = []
    for node in workflow["nodes"]:
        if node["type"] == kind:
            inputs = dict(zip(SHAPES[kind].widgets, node["widgets_values"], strict=True)) if kind in SHAPES else {}
            inputs |= {socket["name"]: links[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
            found.append(node | {"inputs": inputs, "links": {socket["name"]: socket["link"] for socket in
                                                             node["inputs"]}})
    return found


def one(workflow: dict[str, Any], kind: str) -> dict[str, Any]:
    [node] = by_kind(workflow, kind)
    return node["inputs"]


def said(notes: dict[str, list[str]]) -> str:
    return "\n".join(f"{node}: {sentence}" for node, sentences in notes.items() for sentence in sentences)


def check_links(graph: dict[str, Any]) -> None:
    """Check that the file says the same of each link in its three places."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"])
    listed = {}
    for link in graph["links"]:
        number, source, output, target, slot, kind = list(link.values()) if isinstance(link, dict) else link
        assert number not in listed
        listed[number] = kind
        assert nodes[target]["inputs"][slot]["link"] == number
        assert number in nodes[source]["outputs"][output]["links"]
        taken = nodes[target]["inputs"][slot]["type"]
        assert {kind, taken} & {"*"} or kind in taken.split(",")
    assert {socket["link"] for node in nodes.values() for socket in node["inputs"]} - {None} == listed.keys()
    assert sorted(number for node in nodes.values() for output in node["outputs"] for number in output["links"]) == \
        sorted(listed)
    last = graph.get("state") or {"lastNodeId": graph["last_node_id"], "lastLinkId": graph["last_link_id"]}
    assert (last["lastNodeId"], last["lastLinkId"]) == (max(nodes), max(listed))


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_of_other_packs_is_left_that_is_not_named(name):
    old = GRAPHS[name]()
    before = copy.deepcopy(old)
    new, report = migrate(old)
    assert old == before
    left = {f"node {node['id']} ({node['type']})" for node in new["nodes"] if node["type"] not in SHAPES.keys() | STAY}
    assert left <= report.left.keys()
    check_links(new)
    assert new["groups"] == old["groups"]
    assert all(isinstance(link, dict) for link in new["links"]) == isinstance(old["links"][0], dict)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_prompt_becomes_what_its_graph_becomes(name):
    graph, report = migrate(GRAPHS[name]())
    prompt, also = migrate(as_prompt(GRAPHS[name]()))
    for kind in SHAPES:
        ours, theirs = by_kind(graph, kind), by_kind(prompt, kind)
        for node in ours:
            # A graph has bypassed nodes in it, a prompt has not.
            node["inputs"] = {name: ["LoraLoaderModelOnly", 0] if value == ["IPAdapterApply", 0] else value
                              for name, value in node["inputs"].items()}
        assert [node["inputs"] for node in ours] == [node["inputs"] for node in theirs]
    assert said(report.differs) == said(also.differs)
    assert all(link[0] in prompt for node in prompt.values() for link in node["inputs"].values()
               if isinstance(link, list))


def test_the_first_generation():
    new, report = migrate(GRAPHS["gen1_uniform"]())
    assert one(new, "AnimateLCM_LoadMotionModule") == {"motion_file": "mm_sd_v15_v2.ckpt"}
    assert one(new, "AnimateLCM_LoadMotionLoRA") == {
        "lora_file": "v2_lora_PanLeft.ckpt", "strength": 0.7, "strength_curve": "",
        "motion_module": ["AnimateLCM_LoadMotionModule", 0]}
    assert one(new, "AnimateLCM_AttentionScale") == {
        "scale": 1.1, "scale_curve": "", "motion_module": ["AnimateLCM_LoadMotionLoRA", 0]}
    assert one(new, "AnimateLCM_ApplyMotionModule") == {
        "motion_strength": 1.0, "schedule": "AnimateDiff", "model": ["LoraLoaderModelOnly", 0],
        "motion_module": ["AnimateLCM_AttentionScale", 0]}
    windows = one(new, "ContextWindowsManual")
    assert windows["model"] == ["AnimateLCM_ApplyMotionModule", 0]
    assert (windows["context_length"], windows["context_overlap"], windows["context_schedule"], windows["fuse_method"],
            windows["closed_loop"], windows["causal_window_fix"]) == (8, 2, "looped_uniform", "flat", False, False)
    assert by_kind(new, "KSampler")[0]["inputs"]["model"] == ["ContextWindowsManual", 0]
    assert one(new, "EmptyLatentImage") == {"width": SIZE, "height": SIZE, "batch_size": FRAMES}
    assert one(new, "CreateVideo") == {"fps": 8.0, "images": ["VAEDecode", 0]}
    assert not report.left


def test_freenoise_and_percents_of_the_second_generation():
    new, report = migrate(GRAPHS["gen2_looped"]())
    control = one(new, "AnimateLCM_MotionControl")
    assert (control["start_percent"], control["end_percent"]) == (0, 0.9)
    windows = one(new, "ContextWindowsManual")
    assert (windows["freenoise"], windows["closed_loop"], windows["fuse_method"]) == (True, True, "pyramid")
    assert "image/gif" in said(report.differs) and "autoselect meant LCM's" in said(report.differs)
    assert "pingpong" in said(report.left)


def test_an_effect_is_the_strength_and_its_mask_and_a_scale_that_of_the_attention():
    new, report = migrate(GRAPHS["gen2_multivals"]())
    assert one(new, "AnimateLCM_MotionControl")["mask"] == ["SolidMask", 0]
    assert one(new, "AnimateLCM_AttentionScale")["scale"] == 1.15
    applied = one(new, "AnimateLCM_ApplyMotionModule")
    assert (applied["motion_strength"], applied["schedule"]) == (0.8, "LCM")
    assert one(new, "AnimateLCM_LongVideo") == {
        "context_length": 8, "context_overlap": 2, "loop": False, "freenoise": False,
        "model": ["AnimateLCM_ApplyMotionModule", 0]}
    assert one(new, "SaveWEBM")["codec"] == "vp9"
    assert not by_kind(new, "Reroute")
    assert not report.left and not report.differs


def test_multivals_over_the_frames_and_from_masks():
    old = Old()
    loader = old.node("CheckpointLoaderSimple", values=["sd15.safetensors"])
    floats = old.node("BatchValueSchedule", values=["0: (1)"])
    mask = old.node("SolidMask", values=[0.5, SIZE, SIZE])
    scale = old.node("ADE_MultivalDynamicFloatInput", {"float_val": (floats, 0)})
    effect = old.node("ADE_MultivalScaledMask", {"mask": (mask, 0)}, [0.0, 0.7, "absolute"])
    others = [old.node("ADE_MultivalScaledMask", {"mask": (mask, 0)}, values)
              for values in ([0.5, 0.7, "absolute"], [0.0, 0.7, "relative"])]
    for part in (effect, *others):
        old.node("ADE_AnimateDiffLoaderGen1", {"model": (loader, 0), "scale_multival": (scale, 0),
                                               "effect_multival": (part, 0)}, ["mm.ckpt", "lcm"])
    new, report = migrate(old.saved())
    check_links(new)
    assert [node["inputs"]["scale_values"] for node in by_kind(new, "AnimateLCM_AttentionScale")] == [
        ["BatchValueSchedule", 0]] * 3
    assert one(new, "AnimateLCM_MotionControl")["mask"] == ["SolidMask", 0]
    assert [node["inputs"]["motion_strength"] for node in by_kind(new, "AnimateLCM_ApplyMotionModule")] == [
        0.7, 1.0, 1.0]
    assert said(report.left).count("a mask from 0 on") == 2


def test_a_gone_node_is_passed_by_and_what_feeds_it_rests():
    new, report = migrate(GRAPHS["ip_adapter"]())
    modes = {node["type"]: node["mode"] for node in new["nodes"]}
    assert (modes["IPAdapterApply"], modes["IPAdapterModelLoader"], modes["CLIPVisionLoader"]) == (4, 2, 0)
    assert "IPAdapter Advanced" in said(report.left)
    prompt, _ = migrate(as_prompt(GRAPHS["ip_adapter"]()))
    assert one(prompt, "AnimateLCM_ApplyMotionModule")["model"] == ["LoraLoaderModelOnly", 0]


def test_a_video_is_cut_scaled_and_counted():
    old = Old()
    loader = old.node("CheckpointLoaderSimple", values=["sd15.safetensors"])
    video = old.node("VHS_LoadVideo", values=["a.mp4", 12, "Disabled", 512, 512, 0, 3, 2, "choose file", None])
    latent = old.node("VAEEncode", {"pixels": (video, 0), "vae": (loader, 2)})
    count = old.node("PrimitiveCounter", {"number": (video, 1)})
    old.node("VHS_VideoCombine", {"images": (video, 0), "audio": (video, 2)},
             [8, 0, "a", "video/h264-mp4", False, True])
    new, report = migrate(old.saved())
    check_links(new)
    assert one(new, "ImageFromBatch") == {"batch_index": 3, "length": 4096, "image": ["GetVideoComponents", 0]}
    assert not by_kind(new, "ImageScale")
    ids = {node["id"]: node for node in new["nodes"]}
    assert by_kind(new, "VAEEncode")[0]["inputs"]["pixels"] == ["ImageFromBatch", 0] and ids[latent]
    assert by_kind(new, "PrimitiveCounter")[0]["inputs"]["number"] == ["GetImageSize", 2] and ids[count]
    assert one(new, "CreateVideo")["audio"] == ["GetVideoComponents", 1]
    assert "force_rate 12" in said(report.left) and "select_every_nth" in said(report.left)
    assert "sound is that of the whole video" in said(report.differs)


def test_an_image_and_its_size_are_found():
    new, _ = migrate(GRAPHS["image_to_video"]())
    image = one(new, "AnimateLCM_ImageToVideo")
    assert (image["width"], image["height"], image["num_frames"], image["motion_scale"]) == (SIZE, SIZE, 8, 0.4)
    assert image["schedule"] == "keep the model's own"
    assert (image["reference_image"], image["vae"]) == (["LoadImage", 0], ["CheckpointLoaderSimple", 2])


def test_the_newest_motion_module_acts_first():
    new, report = migrate(GRAPHS["prompt_travel"]())
    check_links(new)
    controls = {node["id"]: node["inputs"]["start_percent"] for node in by_kind(new, "AnimateLCM_MotionControl")}
    origins = {link[0]: link[1] for link in new["links"]}
    starts = {}
    for node in by_kind(new, "AnimateLCM_ApplyMotionModule"):
        starts[node["inputs"]["model"][0]] = controls[origins[node["links"]["motion_module"]]]
    assert starts == {"LoraLoaderModelOnly": 0.5, "AnimateLCM_ApplyMotionModule": 0}
    assert len(by_kind(new, "AnimateLCM_LoadMotionModule")) == 1
    assert one(new, "AnimateLCM_PromptSchedule")["num_frames"] == 8
    control = one(new, "ControlNetApplyAdvanced")
    assert (control["positive"], control["strength"]) == (["AnimateLCM_PromptSchedule", 0], 0.7)
    assert control["control_net"] == ["AnimateLCM_ControlNetStrength", 0]
    assert one(new, "AnimateLCM_ControlNetStrength") == {
        "strength_curve": "0: 0.1, 1: 0.1, 2: 1, 5: 0.25, 6: 0.1, 7: 0.1", "control_net": ["ControlNetLoader", 0]}
    assert not report.left


@pytest.mark.parametrize("name, schedule, differs", [
    ("use existing", "keep the model's own", False), ("lcm", "LCM", False), ("sqrt_linear (AnimateDiff)", "AnimateDiff",
    False), ("linear (HotshotXL/default)", "Stable Diffusion 1.5", False), ("cosine", "auto", True),
    ("lcm[100_ots]", "auto", True), ("lcm >> sqrt_linear", "AnimateLCM text-to-video", True)])
def test_a_beta_schedule_becomes_a_schedule(name, schedule, differs):
    old = Old()
    loader = old.node("CheckpointLoaderSimple", values=["sd15.safetensors"])
    old.node("ADE_AnimateDiffLoaderGen1", {"model": (loader, 0)}, ["mm_sd_v15_v2.ckpt", name])
    new, report = migrate(old.saved())
    assert one(new, "AnimateLCM_ApplyMotionModule")["schedule"] == schedule
    assert bool(report.differs) == differs


def test_a_chain_of_loras_two_loaders_and_muted_parts():
    old = Old()
    loader = old.node("CheckpointLoaderSimple", values=["sd15.safetensors"])
    first = old.node("ADE_AnimateDiffLoRALoader", values=["first.ckpt", 0.5])
    off = old.node("ADE_AnimateDiffLoRALoader", {"prev_motion_lora": (first, 0)}, ["off.ckpt", 1.0], mode=4)
    last = old.node("ADE_AnimateDiffLoRALoader", {"prev_motion_lora": (off, 0)}, ["last.ckpt", 0.25])
    muted = old.node("ADE_StandardStaticContextOptions", values=[16, 4], mode=2)
    for _ in range(2):
        old.node("ADE_AnimateDiffLoaderGen1", {"model": (loader, 0), "motion_lora": (last, 0),
                                               "context_options": (muted, 0)}, ["mm.ckpt", "autoselect"])
    new, report = migrate(old.saved())
    check_links(new)
    loras = by_kind(new, "AnimateLCM_LoadMotionLoRA")
    assert sorted((lora["inputs"]["lora_file"], lora["inputs"]["motion_module"][0]) for lora in loras) == [
        ("first.ckpt", "AnimateLCM_LoadMotionModule"), ("first.ckpt", "AnimateLCM_LoadMotionModule"),
        ("last.ckpt", "AnimateLCM_LoadMotionLoRA"), ("last.ckpt", "AnimateLCM_LoadMotionLoRA")]
    assert not by_kind(new, "AnimateLCM_LongVideo") and not by_kind(new, "ContextWindowsManual")


def test_what_has_no_counterpart_is_named():
    old = Old()
    loader = old.node("CheckpointLoaderSimple", values=["sd15.safetensors"])
    keys = old.node("ADE_AnimateDiffKeyframe", values=[0.5, True, 1])
    layer = old.node("ADE_NoiseLayerAdd", values=[0, "default", "use existing", 0, 0.5])
    settings = old.node("ADE_AnimateDiffSamplingSettings", {"noise_layers": (layer, 0)},
                        [2, "repeated_context", "auto1111", 5, True])
    late = old.node("ADE_StandardStaticContextOptions", values=[16, 4, "flat", True, 0.5, 1])
    windows = old.node("ADE_BatchedContextOptions", {"prev_context": (late, 0)}, [8, 0, 1])
    extras = old.node("ADE_ContextExtras_Set", {"context_opts": (windows, 0)})
    old.node("ADE_AnimateDiffLoaderGen1", {"model": (loader, 0), "ad_keyframes": (keys, 0), "context_options":
             (extras, 0), "sample_settings": (settings, 0)}, ["mm_sd_v15.ckpt", "autoselect"])
    new, report = migrate(old.saved())
    assert {node["type"] for node in new["nodes"]} <= SHAPES.keys()
    left = said(report.left)
    for words in ("key frames", "layers of noise", "repeated_context", "batch_offset 2", "'auto1111'", "seed_offset 5",
                  "adapt_denoise_steps", "change over the steps"):
        assert words in left, words
    assert "AnimateDiff v1" in said(report.differs)
    assert one(new, "ContextWindowsManual")["context_schedule"] == "batched"


def test_what_hangs_on_an_unknown_node_is_left_whole():
    old = Old()
    loader, model, text = old.start()
    file = old.node("ADE_LoadAnimateDiffModel", values=["mm.ckpt"])
    camera = old.node("ADE_ApplyAnimateDiffModelWithCameraCtrl", {"motion_model": (file, 0)})
    windows = old.node("ADE_StandardStaticContextOptions", values=[16, 4])
    motion = old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (camera, 0),
                                                 "context_options": (windows, 0)}, ["autoselect"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, 8])
    sampler = old.end(loader, motion, text, latent)
    before = {node["id"]: node for node in copy.deepcopy(old.saved())["nodes"]}
    new, report = migrate(old.saved())
    after = {node["id"]: node for node in new["nodes"]}
    assert all(after[number] == before[number] for number in (loader, file, camera, windows, motion, sampler))
    assert len(report.left) == 4


@pytest.mark.parametrize("encoder_alone", [False, True])
def test_a_group_of_modules_is_mapped_whole_or_not_at_all(encoder_alone):
    old = Old()
    loader, model, text = old.start()
    file = old.node("ADE_LoadAnimateDiffModel", values=["mm.ckpt"])
    first = old.node("ADE_ApplyAnimateDiffModelSimple", {"motion_model": (file, 0)})
    image = old.node("ADE_LoadAnimateLCMI2VModel", values=["AnimateLCM_sd15_i2v.ckpt"])
    picture = old.node("LoadImage", values=["a.png", "image"])
    latent = old.node("EmptyLatentImage", values=[SIZE, SIZE, 8])
    encoded = old.node("VAEEncode", {"pixels": (picture, 0), "vae": (loader, 2)})
    reference = encoded if encoder_alone else latent
    second = old.node("ADE_ApplyAnimateLCMI2VModel", {
        "motion_model": (image, int(encoder_alone)), "ref_latent": (reference, 0), "prev_m_models": (first, 0)},
        [0.4, False, 0, 1])
    old.node("ADE_UseEvolvedSampling", {"model": (model, 0), "m_models": (second, 0)}, ["autoselect"])
    new, report = migrate(old.saved())
    assert new["nodes"] == old.nodes
    assert ("image encoder alone" if encoder_alone else "the reference latent of") in said(report.left)


def test_the_schedule_of_an_old_checkpoint_loader_is_kept():
    old = Old()
    _, model, _ = old.start("CheckpointLoaderSimpleWithNoiseSelect")
    old.node("ADE_AnimateDiffLoaderGen1", {"model": (model, 0)}, ["mm.ckpt", "use existing"], color="#232")
    new, _ = migrate(old.saved())
    assert one(new, "AnimateLCM_ApplyMotionModule")["schedule"] == "AnimateDiff"
    assert by_kind(new, "AnimateLCM_ApplyMotionModule")[0]["color"] == "#232"


def test_a_control_that_changes_over_the_steps_stays():
    old = Old()
    loader, model, text = old.start()
    keys = old.node("TimestepKeyframe", values=[0.5, 1.0])
    net = old.node("ControlNetLoaderAdvanced", {"tk_optional": (keys, 0)}, ["control.safetensors"])
    image = old.node("LoadImage", values=["a.png", "image"])
    old.node("ACN_AdvancedControlNetApply", {"positive": (text, 0), "negative": (text, 0), "control_net": (net, 0),
                                             "image": (image, 0), "timestep_kf": (keys, 0)}, [1, 0, 1])
    new, report = migrate(old.saved())
    assert [node["type"] for node in new["nodes"]] == [node["type"] for node in old.nodes]
    assert "changes over the steps" in said(report.left) and "works beside this one" in said(report.left)


def test_key_frames_of_a_control_in_all_their_forms():
    old = Old()
    _, _, text = old.start()
    old.node("EmptyLatentImage", values=[SIZE, SIZE, 6])
    group = old.node("LatentKeyframeGroup", values=["1=0.5, 2:4=0.25, -1", False])
    last = old.node("LatentKeyframe", {"prev_latent_kf": (group, 0)}, [1, 0.75])
    net = old.node("ControlNetLoaderAdvanced", values=["control.safetensors"])
    image = old.node("LoadImage", values=["a.png", "image"])
    old.node("ACN_AdvancedControlNetApply", {"positive": (text, 0), "negative": (text, 0), "control_net": (net, 0),
                                             "image": (image, 0), "latent_kf_override": (last, 0)}, [1, 0, 1])
    new, report = migrate(old.saved())
    check_links(new)
    assert one(new, "AnimateLCM_ControlNetStrength")["strength_curve"] == \
        "0: 0, 1: 0.75, 2: 0.25, 3: 0.25, 4: 0, 5: 1"
    assert not report.left


def test_subgraphs_and_bends_of_links():
    graph = GRAPHS["gen2_looped"]()
    inside = [{"id": 1, "type": "ADE_LoadAnimateDiffModel"}]
    subgraph = {"id": "aaaa-bbbb", "name": "Look", "nodes": inside, "links": []}
    graph["definitions"] = {"subgraphs": [subgraph]}
    kept, lost = graph["links"][0][0], next(link[0] for link in graph["links"] if link[5] == "CONTEXT_OPTIONS")
    graph["extra"] |= {"reroutes": [{"id": 1, "linkIds": [kept, lost]}, {"id": 2, "linkIds": [lost]}],
                       "linkExtensions": [{"id": kept, "parentId": 1}, {"id": lost, "parentId": 2}]}
    graph["nodes"].append({"id": 90, "type": "aaaa-bbbb", "inputs": [], "outputs": [], "widgets_values": []})
    graph["nodes"].append({"id": 91, "type": "workflow>Old", "inputs": [], "outputs": [], "widgets_values": []})
    new, report = migrate(graph)
    assert new["definitions"] == graph["definitions"]
    assert new["extra"]["reroutes"] == [{"id": 1, "linkIds": [kept]}]
    assert new["extra"]["linkExtensions"] == [{"id": kept, "parentId": 1}]
    assert "subgraph 'Look': left whole, with ADE_LoadAnimateDiffModel" in said(report.left)
    assert "a group node" in said(report.left)


def test_a_graph_of_today_stays_as_it_is():
    old = Old()
    loader, _, text = old.start()
    graph = old.saved()
    new, report = migrate(graph)
    assert new == graph and loader and text
    assert not (report.mapped or report.differs or report.left)
    assert "no node of an older pack was found" in report.text("graph.json")
