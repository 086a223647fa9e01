"""The moving preview: every frame at every step, in the latents' own colours, and only where somebody looks."""

import io
import json
import sys
from types import SimpleNamespace

import comfy.latent_formats
import comfy.utils
import folder_paths
import latent_preview
import pytest
import torch
from animatelcm.demo.model import load_demo_model
from animatelcm.demo.scenes import Scene, render
from animatelcm.host import preview
from animatelcm.host.motion import apply_motion
from animatelcm.tests.support import run, with_windows
from PIL import Image

SD15 = comfy.latent_formats.SD15()


@pytest.fixture
def applied(model, motion):
    return apply_motion(model, motion, 1.0, None)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The folder with the settings of the page, which are none yet."""
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path))
    (tmp_path / "default").mkdir()
    return tmp_path / "default" / "comfy.settings.json"


@pytest.fixture
def page(settings, monkeypatch):
    """What the server is given for a page that waits for the run."""
    sent = []
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(
        instance=SimpleNamespace(client_id="page", send_progress_text=lambda *args: None))))
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK",
                        lambda value, total, picture, **node: picture and sent.append((value, total, picture)))
    monkeypatch.setattr(preview, "SHORTEST_PAUSE", 0.0)
    return sent


def on_the_page(picture) -> Image.Image:
    """Return what arrives when the host has saved a preview as it saves them all."""
    kind, image, longest_side = picture
    assert isinstance(image, Image.Image) and longest_side is None
    file = io.BytesIO()
    image.save(file, format=kind, quality=95, compress_level=1)
    return Image.open(file)


def frames_of(image: Image.Image) -> list[torch.Tensor]:
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(torch.tensor(list(image.convert("RGB").tobytes())).view(image.height, image.width, 3))
    return frames


@pytest.mark.parametrize("windows", [False, True])
def test_every_step_shows_all_frames(applied, page, windows):
    run(with_windows(applied, 4, 1) if windows else applied, num_frames=10, steps=3)
    assert [(value, total) for value, total, _ in page] == [(1, 3), (2, 3), (3, 3)]
    for *_, picture in page:
        shown = on_the_page(picture)
        assert (shown.format, shown.n_frames, shown.size) == ("PNG", 10, (8, 8))
        assert shown.info["loop"] == 0 and shown.info["duration"] == 125
    assert not torch.equal(*(torch.stack(frames_of(on_the_page(page[step][2]))) for step in (0, 2)))


def test_every_frame_is_what_the_host_shows_of_the_first():
    x0 = torch.randn(5, 4, 8, 12)
    theirs = latent_preview.Latent2RGBPreviewer(SD15.latent_rgb_factors)
    shown = frames_of(on_the_page(("PNG", preview.clip_of(x0, SD15), None)))
    for frame, each in zip(shown, x0, strict=True):
        host = torch.tensor(list(theirs.decode_latent_to_preview(each[None]).tobytes())).view(8, 12, 3)
        assert (frame - host).abs().max() <= 1


def test_the_embedded_model_is_shown_in_its_own_colours():
    model, _, vae = load_demo_model()
    latents, frames = model.get_model_object("latent_format"), render(Scene("car", "right", "meadow"), 4).frames
    x0 = latents.process_in(vae.encode(frames.movedim(1, -1)))
    for shown, frame in zip(frames_of(on_the_page(("PNG", preview.clip_of(x0, latents), None))), frames, strict=True):
        expected = torch.nn.functional.adaptive_avg_pool2d(frame, (16, 16)).movedim(0, -1)
        seen = torch.nn.functional.adaptive_avg_pool2d((shown / 255).movedim(-1, 0), (16, 16)).movedim(0, -1)
        assert (seen - expected).abs().mean() < 0.05
    assert latents.scale_factor == SD15.scale_factor


@pytest.mark.parametrize(("set_to", "shows"), [
    ({}, True), ({"AnimateLCM.Preview": True, "Comfy.Execution.PreviewMethod": "default"}, True),
    ({"AnimateLCM.Preview": False}, False), ({"Comfy.Execution.PreviewMethod": "none"}, False),
    ([], True), ("{", True),
])
def test_a_setting_of_the_page_turns_it_off(applied, page, settings, set_to, shows):
    settings.write_text(set_to if isinstance(set_to, str) else json.dumps(set_to))
    run(applied, num_frames=4)
    assert bool(page) == shows


def test_nothing_is_made_where_nobody_looks(applied, page, monkeypatch):
    monkeypatch.setattr(sys.modules["server"].PromptServer.instance, "client_id", None)
    run(applied, num_frames=4)
    monkeypatch.delitem(sys.modules, "server")
    run(applied, num_frames=4)
    assert page == []


def test_the_video_is_the_same_with_and_without(applied, page, settings):
    with_preview = run(applied, num_frames=4, steps=3, sampler="lcm")
    assert page
    settings.write_text(json.dumps({preview.SETTING: False}))
    assert torch.equal(run(applied, num_frames=4, steps=3, sampler="lcm"), with_preview)


def test_what_the_run_does_at_each_step_is_done_first(page):
    done = []
    show = preview._showing(SD15, lambda step, x0, x, total: done.append((step, len(page))))
    for step in range(2):
        show(step, torch.zeros(3, 4, 8, 8), torch.zeros(3, 4, 8, 8), 2)
    assert done == [(0, 0), (1, 1)]


def test_steps_quicker_than_a_page_are_left_out_but_not_the_last(page, monkeypatch):
    monkeypatch.setattr(preview, "SHORTEST_PAUSE", 3600.0)
    monkeypatch.setattr(preview.time, "monotonic", lambda: 5000.0)
    show = preview._showing(SD15, None)
    for step in range(5):
        show(step, torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 8), 5)
    assert [value for value, *_ in page] == [1, 5]


def test_a_long_or_large_clip_becomes_a_small_one_of_the_same_length():
    clip = preview.clip_of(torch.zeros(300, 4, 4, 8), SD15)
    shown = on_the_page(("PNG", clip, None))
    assert len(clip.frames) == 60 and len(clip.frames) * clip.milliseconds == 300 * 125
    assert shown.size == (8, 4)
    assert preview.clip_of(torch.zeros(2, 4, 128, 192), SD15).size == (96, 64)


def test_a_new_clip_goes_on_where_the_last_one_was():
    x0 = torch.linspace(-1, 1, 8).view(8, 1, 1, 1) * torch.ones(1, 4, 2, 2)
    begun, later = (torch.stack(frames_of(on_the_page(("PNG", preview.clip_of(x0, SD15, seconds), None))))
                    for seconds in (0.0, 0.3))
    assert torch.equal(later, begun.roll(-2, 0)) and not torch.equal(later, begun)
