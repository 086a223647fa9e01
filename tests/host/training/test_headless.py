"""Training from a folder, without the graph."""

from __future__ import annotations

from dataclasses import replace

import comfy.controlnet
import pytest
import torch
from animatelcm.host.training import headless, runs
from animatelcm.host.training.headless import CachedData, Loaded
from animatelcm.tests.host.controls import DEMO_CONFIG, control_lora, control_net
from animatelcm.tests.support import CONFIG, loaded_motion, tiny_model
from animatelcm.tests.training.clip_files import numbered_frames, write_video
from animatelcm.training import loop
from animatelcm.training.cache import CachedClips, fill_cache
from animatelcm.training.data import scan
from animatelcm.training.memory import Estimate
from animatelcm.training.options import OptionError, plan
from safetensors.torch import load_file, save_file


def train(asked, loaded, clips=None, run=None):
    return headless.train_parts(headless.parts_of(asked, loaded), clips, run, print)


@pytest.mark.parametrize("decoupled", [True, False])
def test_what_is_trained_is_written_all_of_it(tmp_path, monkeypatch, decoupled):
    """Trained at once, a motion module comes with a LoRA without which it is worth little."""
    lora, motion, seen = {"lora_unet_a.alpha": torch.tensor(2.0)}, loaded_motion(tmp_path), []
    monkeypatch.setattr(headless, "load_motion", lambda path: motion)
    monkeypatch.setattr(headless, "distil_motion_module",
                        lambda *given: seen.append(given[-2].config.distillation.decoupled) or (motion, lora, []))
    asked = plan({"stage": "motion", "preset": "tiny", "data": "clips",
                  "distillation": {"decoupled": decoupled, "init": "none"}})
    write = train(asked, Loaded(tiny_model(), None, None, "tiny"))
    files = write(tmp_path / "out" / "cats.v1")
    assert [file.name for file in files] == ["cats.v1.safetensors", "cats.v1.lora.safetensors"][:1 if decoupled else 2]
    assert sorted(files) == sorted((tmp_path / "out").iterdir()) and seen == [decoupled]
    assert decoupled or load_file(files[1]).keys() == lora.keys()


def test_versions_of_a_name_do_not_overwrite_each_other(tmp_path, monkeypatch):
    """What stands behind the last dot of a name is no suffix."""
    monkeypatch.setattr(headless, "distil_spatial_lora",
                        lambda *given: ({"a": torch.tensor(float(given[-2].name[-1]))}, []))
    written = []
    for name in ("cats.v1", "cats.v2"):
        asked = plan({"stage": "image", "preset": "tiny", "data": "clips", "name": name})
        write = train(asked, Loaded(tiny_model(), None, None, "tiny"))
        written += write(tmp_path / name)
    assert [file.name for file in written] == ["cats.v1.safetensors", "cats.v2.safetensors"]
    assert [load_file(file)["a"].item() for file in written] == [1, 2]


def test_a_folder_of_clips_is_its_files_and_how_they_are_cut(tmp_path):
    write_video(tmp_path / "clips" / "a.mp4", numbered_frames(3, 64, 64), "a red car")
    write_video(tmp_path / "clips" / "b.mp4", numbered_frames(4, 64, 64), "a bee")

    def of(**tables):
        asked = plan({"stage": "adapt", "preset": "tiny", "data": str(tmp_path / "clips"),
                      "training": {"num_frames": 2, "height": 64, "width": 64}, **tables})
        folder = scan(asked.options.data, asked.clips)
        return CachedData(CachedClips(folder, asked.clips, asked.views, tmp_path, "frames", "text")).origin()

    before = of()
    assert of() == before and before.settings["views.seed"] == 0
    assert of(views={"views": 2}).differences(before, 0) == ["views.views 2, was 4"]
    assert of(clips={"flip": 0.5}).differences(before, 0) == ["clips.flip 0.5, was 0.0"]
    other = replace(before, contents={**before.contents, "data": "x"})
    (tmp_path / "clips" / "a.txt").write_text("a penguin", encoding="utf-8")
    assert of().differences(before, 0) == before.differences(other, 0) == ["other data"]


def test_a_control_net_is_tuned_on_a_folder_of_clips_and_hints(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "estimate", lambda *args: Estimate(0, 0, 2**20, 0, 0))
    given = {key: weight.contiguous() for key, weight in control_lora(DEMO_CONFIG).control_weights.items()}
    save_file(given, tmp_path / "control.safetensors")
    write_video(tmp_path / "clips" / "a.mp4", numbered_frames(3, 64, 64), "a red car")
    write_video(tmp_path / "clips" / "a.hint.mp4", numbered_frames(3, 64, 64), caption=None)
    asked = plan({"stage": "adapt", "preset": "tiny", "data": str(tmp_path / "clips"), "loop": {"steps": 1},
                  "control_net": str(tmp_path / "control.safetensors"), "views": {"views": 1},
                  "training": {"num_frames": 2, "height": 64, "width": 64}})
    loaded = headless.load("demo")
    clips = fill_cache(scan(asked.options.data, asked.clips, hints=True), asked.clips, asked.views, loaded.encoders(),
                    tmp_path / "cache")
    losses = []

    def run(stage, config):
        losses.extend(report.loss for report in loop.train(stage, config.loop))
        return losses

    write = train(asked, loaded, clips, run)
    [file] = write(tmp_path / "tuned")
    assert file == tmp_path / "tuned.safetensors" and len(losses) == 1
    tuned = comfy.controlnet.load_controlnet(str(file)).control_weights
    zero = "zero_convs.0.0.weight"
    assert tuned[zero].shape == given[zero].shape and not torch.equal(tuned[zero], given[zero])


@pytest.mark.parametrize(("num_frames", "moves"), [(1, False), (2, True)])
def test_a_control_net_is_tuned_on_single_images_without_a_motion_module(tmp_path, monkeypatch, num_frames, moves):
    seen, control = [], control_net()
    monkeypatch.setattr(headless, "load_motion", lambda path: loaded_motion(tmp_path))
    monkeypatch.setattr(headless, "load_control_net", lambda path: control)
    monkeypatch.setattr(headless, "adapt_control_net", lambda *given: seen.append(given) or (control, []))
    asked = plan({"stage": "adapt", "preset": "tiny", "data": "clips", "control_net": "depth.safetensors",
                  "training": {"num_frames": num_frames}})
    train(asked, Loaded(tiny_model(), None, None, "tiny"))
    assert (seen[0][1] is not None) is moves and seen[0][2] is control


def with_lora_of(folder, channels):
    layer, file = "lora_unet_down_blocks_0_attentions_0_proj_in", folder / "lora.safetensors"
    save_file({f"{layer}.lora_up.weight": torch.ones(channels, 2, 1, 1), f"{layer}.alpha": torch.tensor(2.0),
               f"{layer}.lora_down.weight": torch.ones(2, channels, 1, 1)}, file)
    return str(file)


@pytest.mark.parametrize(("changes", "said"), [
    ({"motion": "wide"}, "does not fit this MODEL: at the UNet's input block 1 it has 64 channels"),
    ({"training": {"num_frames": 70}}, "num_frames is 70, and .* knows at most 64 frames"),
    ({"schedule": "AnimateDiff"}, "schedule is 'AnimateDiff'; expected one with a distillation grid"),
    ({"schedule": "LCM", "distillation": {"skip": 60}}, "of 50 timesteps: skip is 60"),
    ({"lora": None}, "init 'student' starts from a spatial LoRA"),
    ({"lora": 64}, "the LoRA does not fit this UNet: unet.input_blocks.1.1.proj_in"),
    ({"lora": "no.safetensors"}, "no.safetensors"),
    ({"stage": "adapt", "schedule": "LCM", "distillation": {"rolling": 4}},
     "schedule is 'LCM', and .* Set schedule to"),
    ({"stage": "adapt", "motion": "many"}, "nothing can be adapted to a module that is not distilled"),
    ({"stage": "adapt", "control_net": "other"}, "this CONTROL_NET does not fit the MODEL's UNet"),
])
def test_what_does_not_go_together_is_refused_before_anything_is_encoded(tmp_path, monkeypatch, changes, said):
    motion = loaded_motion(tmp_path)
    modules = {"demo": motion, "many": replace(motion, schedule="AnimateDiff"),
               "wide": loaded_motion(tmp_path, replace(CONFIG, channels=(64,) * len(CONFIG.channels)))}
    asked = {"stage": "motion", "preset": "tiny", "data": "clips", "motion": "demo", "lora": 32, **changes}
    monkeypatch.setattr(headless, "_motion_file", lambda options: options.motion)
    monkeypatch.setattr(headless, "load_motion", lambda name: modules[name])
    monkeypatch.setattr(headless, "load_control_net", lambda path: control_lora(DEMO_CONFIG))
    if isinstance(asked["lora"], int):
        asked["lora"] = with_lora_of(tmp_path, asked["lora"])
    if asked["lora"] is None:
        del asked["lora"]
    with pytest.raises(OptionError, match=said):
        headless.parts_of(plan(asked), Loaded(tiny_model(), None, None, "tiny"))
