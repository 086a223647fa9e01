"""The world's clips are drawn from their seed alone, and each frame shows where its subject is heading."""

import random
from dataclasses import replace

import pytest
import torch
from animatelcm.demo import scenes
from animatelcm.demo.backdrops import BACKDROPS, texture
from animatelcm.demo.scenes import SIZE, WAYS, Scene, attitude, draw, outline, pose_of, random_scene, render, silhouette
from animatelcm.demo.subjects import ATLAS, NAMES, PHASES, SUBJECTS, sprites


def test_the_atlas_is_small_and_holds_every_subject():
    assert ATLAS.stat().st_size < 2.5 * 2 ** 20
    assert sprites().shape == (len(SUBJECTS), PHASES, 4, 128, 128)
    assert len(set(NAMES)) == len(NAMES) >= 24
    colours, opacity = sprites()[:, :, :3], sprites()[:, :, 3:]
    assert bool((colours <= opacity).all())
    # No sprite touches its cell's border, where a turned one would be cut.
    assert float(opacity[..., [0, -1], :].max()) == float(opacity[..., [0, -1]].max()) == 0


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.words[0])
def test_something_happens_in_every_loop_and_it_closes(subject):
    frames = sprites()[NAMES.index(subject.words[0])]
    steps = (frames - frames.roll(1, 0)).abs().mean((1, 2, 3))
    # The step from the last phase to the first is no jump.
    assert steps[0] < 2 * steps[1:].mean()
    moved = (frames - frames[:1]).abs().mean((1, 2, 3)).max()
    assert moved > 0.01 or subject.bob


def test_the_same_scene_is_the_same_clip_and_another_seed_another_background():
    scene = random_scene(random.Random(0))
    first, again, other = (render(scene, 4), render(scene, 4), render(replace(scene, seed=scene.seed + 1), 4))
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.mask, other.mask)
    assert not torch.equal(first.backdrop, other.backdrop)


def test_a_clip_is_drawn_alike_whatever_is_trained_around_it():
    scene = random_scene(random.Random(1))
    with torch.autocast("cpu", torch.bfloat16):
        there = render(scene, 2)
    assert torch.equal(there.frames, render(scene, 2).frames)
    assert there.frames.dtype == torch.float32


@pytest.mark.parametrize("seed", range(12))
def test_frames_are_pictures(seed):
    clip = render(random_scene(random.Random(seed)), 3)
    assert clip.frames.shape == clip.backdrop.shape == (3, 3, SIZE, SIZE)
    assert clip.sprite.shape == (3, 4, SIZE, SIZE)
    assert float(clip.frames.min()) >= 0 and float(clip.frames.max()) <= 1
    assert float(clip.mask.mean()) > 0.05


@pytest.mark.parametrize("way", WAYS)
def test_subjects_go_where_they_are_said_to_and_stay_in_view(way):
    rng = random.Random(way)
    for _ in range(40):
        scene = replace(random_scene(rng), way=way)
        pose = pose_of(scene)
        sign = tuple(int(part) for part in pose.step.sign().tolist())
        assert sign == WAYS[way]
        last = pose.start + pose.step * (scenes.FRAMES - 1)
        for centre in (pose.start, last):
            assert (centre + pose.box[:2]).min() >= -scenes.BEYOND - 1e-3
            assert (centre + pose.box[2:]).max() <= SIZE + scenes.BEYOND + 1e-3
        if way != "still":
            assert float(pose.step.norm()) >= 1.2


def test_the_subject_is_where_its_centre_says():
    clip = render(Scene("pig", "left", "white"))
    axis = torch.arange(SIZE) + 0.5
    seen = (clip.mask.sum(1) * axis).sum(1) / clip.mask.sum((1, 2))
    moved = seen[1:] - seen[:-1]
    assert float((clip.centres[1:, 0] - clip.centres[:-1, 0] - moved).abs().max()) < 1.5
    assert float(clip.centres[-1, 0] - clip.centres[0, 0]) < -15


def test_offsets_move_the_subject_from_its_path():
    scene = Scene("bus", "right", "yellow")
    plain, moved = draw(scene, [0, 1]), draw(scene, [0, 1], torch.tensor([[0.0, 0.0], [0.0, -4.0]]))
    assert torch.equal(plain.frames[0], moved.frames[0])
    assert torch.allclose(plain.mask[1], moved.mask[1].roll(4, 0), atol=1e-4)


def test_the_other_side_is_the_mirror_image():
    # Both are in the middle of their paths, and these are each other's mirror images.
    left, right = (draw(Scene("horse", way, "white"), [7, 8]).mask.mean(0) for way in ("left", "right"))
    assert torch.allclose(left, right.flip(-1), atol=0.02)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.words[0])
def test_a_frame_shows_where_its_subject_is_heading(subject):
    """It holds itself another way for each side, and what it leaves behind lies behind it."""
    attitudes = [attitude(subject, way, False) for way in WAYS if way != "still"]
    assert len(set(attitudes)) == len(attitudes)
    for way, (dx, dy) in WAYS.items():
        clip = draw(Scene(subject.words[0], way, "sky", seed=3), [8])
        left = ((clip.frames - clip.backdrop).abs().sum(1) * (clip.mask == 0))[0]
        axis = torch.arange(SIZE) + 0.5 - clip.centres[0].unsqueeze(1)
        ahead = dx * axis[0].view(1, -1) + dy * axis[1].view(-1, 1)
        if way == "still":
            assert float(left.sum()) == 0
        else:
            assert float((left * (ahead < 0)).sum()) > 20 * float((left * (ahead > 0)).sum())
            assert float((left > 0.2).sum()) > 20


def test_what_is_said_to_stand_has_its_feet_on_the_ground():
    for name in ("car", "penguin", "dancer"):
        for backdrop, known in BACKDROPS.items():
            if known.ground is None:
                continue
            for y in (0.0, 1.0):
                pose = pose_of(Scene(name, "left", backdrop, y=y))
                feet = float(pose.start[1] + pose.box[3])
                assert known.ground[0] - 1 <= feet <= known.ground[1] + 1


def test_hints_lie_on_the_subject():
    clip = render(random_scene(random.Random(5)), 2)
    covered, edges = silhouette(clip), outline(clip)
    assert covered.shape == edges.shape == clip.frames.shape
    assert torch.equal(covered[:, 0], clip.mask)
    near = torch.nn.functional.max_pool2d(clip.mask.unsqueeze(1), 5, 1, 2)
    assert float((edges * (near == 0)).max()) == 0
    assert 0.1 < float(edges.sum() / covered.sum()) < 0.9


def test_a_texture_has_unit_variance_and_changes_as_much_as_said():
    field = torch.stack([texture(torch.Generator().manual_seed(seed), 6, 20, 12, 0.7, (1.5, 0)) for seed in range(40)])
    assert float(field.std()) == pytest.approx(1, abs=0.12)
    # It runs to the right by 1.5 pixels in a frame, and keeps 0.7 of each wave.
    ahead = (field[:, 1:].roll(-3, -1)[:, 1:] * field[:, :-2]).mean() / field.square().mean()
    assert float(ahead) == pytest.approx(0.49, abs=0.08)


@pytest.mark.parametrize("name", [name for name in BACKDROPS if name not in ("white", "yellow")])
def test_backgrounds_move(name):
    frames = BACKDROPS[name].draw(torch.Generator().manual_seed(0), 4)
    assert float((frames[1:] - frames[:-1]).abs().mean()) > 0.01
