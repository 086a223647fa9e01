"""How the demo model's obedience is counted."""

import random

import pytest
from animatelcm.demo.captions import caption
from animatelcm.demo.scenes import random_scene, render
from animatelcm.tools.evaluation.obedience import measure

PROMPTS, SEED = 3, 4


def the_world(prompts=PROMPTS):
    """Return the world's clips by the prompts that ask for them."""
    rng = random.Random(SEED)
    chosen = [random_scene(rng) for _ in range(prompts)]
    return {caption(scene): render(scene).frames for scene in chosen}


def test_the_world_itself_obeys_its_prompts_and_is_as_clean_as_itself(tmp_path):
    clips, seeds = the_world(), []

    def sample(prompt, seed):
        seeds.append(seed)
        return clips[prompt]

    found = measure(sample, lambda scene: render(scene).frames, PROMPTS, SEED, tmp_path / "sheet.png")
    assert found["subject"] == found["way"] == found["backdrop"] == 1
    assert found["explained"] == found["world_explained"] > 0.95
    assert found["change"] == found["world_change"] > 0
    assert found["seconds"] >= 0 and seeds == [SEED, SEED + 1, SEED + 2]
    assert (tmp_path / "sheet.png").is_file()


def test_clips_of_other_prompts_do_not_obey_and_flicker_is_counted():
    clips = list(the_world().values())

    def sample(prompt, seed):
        other = clips[(seed - SEED + 1) % PROMPTS].clone()
        other[::2] *= 0.8
        return other

    found = measure(sample, lambda scene: render(scene).frames, PROMPTS, SEED, None)
    assert found["subject"] < 1
    assert found["change"] > 1.5 * found["world_change"] and found["world_explained"] == pytest.approx(0.97, abs=0.05)
