"""A video that is written while it is sampled: what is in the file, after an interrupt too, and in what memory."""

import gc
import json
from collections import Counter

import av
import comfy.model_management
import comfy.samplers
import comfy.utils
import folder_paths
import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.host.recording import Request, record
from animatelcm.host.rolling import RollingSampler
from animatelcm.host.sampling import lcm_sampler, scheduled_sigmas
from animatelcm.host.video_file import FORMATS, Target, VideoFile
from animatelcm.nodes.rolling import RecordVideo
from animatelcm.samplers.rolling import Rolling
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host import probe
from animatelcm.tests.support import SCHEDULE, conditioning, noise_for, tiny_model
from comfy.model_management import InterruptProcessingException
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import InputImpl, Types

FRAMES = 13
"""8 in a window, 2 at each level."""
SIDE = 64


class Vae:
    """Makes each frame grey, as bright as its first latent value says."""

    def __init__(self):
        self.decoded = []

    def decode(self, latents):
        self.decoded.append(len(latents))
        return latents[:, :1, :1, :1].sigmoid().movedim(1, -1).expand(-1, SIDE, SIDE, 3)


@pytest.fixture(autouse=True)
def output_folder(tmp_path):
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_output_directory(before)


@pytest.fixture(scope="module")
def moving(motion):
    """A MODEL whose UNet costs nothing; one for all tests, since the host looks for what is left of earlier ones."""
    return probe.Probe().on(apply_motion(tiny_model(), motion, 1.0, SCHEDULES[SCHEDULE]))


def recorded(model, num_frames=FRAMES, format="mp4", latent=None, sampler=None, vae=None, denoise=1.0, **target):
    guider = comfy.samplers.CFGGuider(model)
    with torch.inference_mode():
        guider.set_conds(conditioning(1), conditioning(2))
        request = Request(guider, sampler or RollingSampler(Rolling(8)), scheduled_sigmas(model, 4, denoise)[0],
                          latent or {"samples": torch.zeros(1, 4, 8, 8)}, num_frames, seed=3)
        return record(request, vae or Vae(), Target("test", format, 8.0, 19, **target))


def brightness(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").mean() / 255 for frame in container.decode(video=0)]


@pytest.mark.parametrize("format", FORMATS)
def test_every_frame_is_in_the_file(moving, format, output_folder):
    vae, latent = Vae(), noise_for(FRAMES)
    saved = recorded(moving, format=format, vae=vae, latent={"samples": latent}, denoise=0.25)
    assert saved.path == output_folder / f"test_00001_.{format}"
    assert vae.decoded == [2] * 6 + [1]
    seen = brightness(saved.path)
    assert len(seen) == FRAMES
    assert saved.summary == f"13 of 13 frames in test_00001_.{format}"
    assert max(seen) - min(seen) > 0.1


def test_the_frames_are_in_their_order(moving, monkeypatch):
    monkeypatch.setattr("animatelcm.host.rolling._Run.noise_of", lambda self, frames, level: torch.zeros(
        len(frames), *self.shape[1:]))
    latent = torch.linspace(-2, 2, FRAMES).view(-1, 1, 1, 1).expand(-1, 4, 8, 8).contiguous()
    saved = recorded(moving, latent={"samples": latent}, denoise=0.25)
    torch.testing.assert_close(torch.tensor(brightness(saved.path)), latent[:, 0, 0, 0].sigmoid().double(),
                               atol=0.03, rtol=0)


def test_metadata_is_that_of_save_video(moving, output_folder):
    prompt, workflow = {"1": {"class_type": "KSampler"}}, {"nodes": [{"id": 1}]}
    saved = recorded(moving, prompt=prompt, extra_pnginfo={"workflow": workflow})
    hosts = output_folder / "host.mp4"
    InputImpl.VideoFromComponents(Types.VideoComponents(images=torch.zeros(2, SIDE, SIDE, 3), frame_rate=8)).save_to(
        str(hosts), metadata={"workflow": workflow, "prompt": prompt})
    with av.open(str(saved.path)) as ours, av.open(str(hosts)) as theirs:
        assert ours.metadata == theirs.metadata
        assert json.loads(ours.metadata["workflow"]) == workflow


def test_webm_has_metadata_and_none_where_the_host_wants_none(moving, monkeypatch):
    with av.open(str(recorded(moving, format="webm", prompt={"1": {}}).path)) as container:
        assert json.loads(container.metadata["PROMPT"]) == {"1": {}}
    monkeypatch.setattr("animatelcm.host.video_file.args.disable_metadata", True)
    with av.open(str(recorded(moving, format="webm", prompt={"1": {}}).path)) as container:
        assert "PROMPT" not in container.metadata


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("seconds", "heard"), [(10.0, FRAMES / 8), (1.0, 1.0)])
def test_sound_is_cut_to_the_video(moving, format, seconds, heard):
    rate = 22_050
    tone = torch.sin(torch.arange(int(seconds * rate)) / rate * 440 * 6.283).expand(1, 2, -1)
    saved = recorded(moving, format=format, audio={"waveform": tone, "sample_rate": rate})
    with av.open(str(saved.path)) as container:
        frames = list(container.decode(audio=0))
        samples = torch.cat([torch.from_numpy(frame.to_ndarray()) for frame in frames], dim=1)
        # A codec has whole blocks.
        assert samples.shape[1] / frames[0].sample_rate == pytest.approx(heard, abs=0.1)
        assert samples.shape[0] == 2
        assert 0.6 < samples.pow(2).mean().sqrt() < 0.8
    assert len(brightness(saved.path)) == FRAMES


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rate", [11_000, 44_100, 192_000])
def test_sound_of_any_sample_rate_is_heard(moving, format, rate):
    """Also one that the codec has no name for, as of a recording studio's files."""
    tone = torch.sin(torch.arange(2 * rate) / rate * 440 * 6.283).expand(1, 2, -1)
    saved = recorded(moving, format=format, audio={"waveform": tone, "sample_rate": rate})
    with av.open(str(saved.path)) as container:
        frames = list(container.decode(audio=0))
    heard = torch.cat([torch.from_numpy(frame.to_ndarray()) for frame in frames], dim=1)[0]
    assert len(heard) / frames[0].sample_rate == pytest.approx(FRAMES / 8, abs=0.1)
    loudest = torch.fft.rfft(heard[:frames[0].sample_rate]).abs().argmax().item()
    assert loudest == pytest.approx(440, abs=2)
    assert format == "webm" or frames[0].sample_rate == (44_100 if rate == 44_100 else 48_000)


@pytest.mark.parametrize("error", [InterruptProcessingException(), RuntimeError("a failure")])
@pytest.mark.parametrize("format", FORMATS)
def test_what_was_finished_before_an_interrupt_is_playable(moving, format, error, output_folder):
    left = [7]

    def break_off(executor, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return executor(*args, **kwargs)

    broken = moving.clone()
    broken.add_wrapper(WrappersMP.APPLY_MODEL, break_off)
    tone = {"waveform": torch.zeros(1, 1, 80_000), "sample_rate": 8_000}
    with pytest.raises(type(error)):
        recorded(broken, format=format, audio=tone)
    path, = output_folder.iterdir()
    assert len(brightness(path)) == 2 * (7 - 3)


def test_an_interrupt_before_the_first_frame_leaves_no_file(moving, output_folder):
    broken = moving.clone()

    def interrupt(executor, *args, **kwargs):
        comfy.model_management.interrupt_current_processing()
        return executor(*args, **kwargs)

    broken.add_wrapper(WrappersMP.APPLY_MODEL, interrupt)
    with pytest.raises(InterruptProcessingException):
        recorded(broken)
    assert list(output_folder.iterdir()) == []


def test_each_new_frame_is_previewed(moving, monkeypatch):
    reports = []
    monkeypatch.setattr(comfy.utils.ProgressBar, "update_absolute",
                        lambda self, value, total=None, preview=None: reports.append((value, total, preview)))
    recorded(moving)
    total = 3 + 7
    assert [(value, total) for value, total, _ in reports] == [(step, total) for step in (*range(1, total + 1), total)]
    assert [preview is not None for *_, preview in reports] == [False] * 4 + [True] * 7
    assert reports[-1][2][1].size == (SIDE, SIDE)


def test_no_tensor_has_all_frames(moving):
    """However long the video is; what has two windows in it is for guidance."""
    found, model = Counter(), moving.clone()

    def note(executor, *args, **kwargs):
        gc.collect()
        # Frames in memory: a view may have more.
        found.update(each.untyped_storage().nbytes() // (4 * 4 * 8 * 8) for each in gc.get_objects()
                     if type(each) is torch.Tensor and not each.is_nested and each.shape[1:] == (4, 8, 8))
        return executor(*args, **kwargs)

    model.add_wrapper(WrappersMP.APPLY_MODEL, note)
    recorded(model, num_frames=33)
    assert found[8] > 0
    assert max(found) <= 16


def test_another_sampler_is_refused(moving):
    with pytest.raises(ValueError, match="only the Rolling Sampler does.*VAE Decode and Save Video"):
        recorded(moving, sampler=lcm_sampler(1.0))


def test_a_run_without_steps_is_refused(moving):
    with pytest.raises(ValueError, match="SIGMAS have no steps.*denoise"):
        recorded(moving, denoise=0.0)


def test_a_video_of_another_length_is_refused(moving):
    with pytest.raises(ValueError, match="num_frames is 13, but the latent is a video of 12 frames"):
        recorded(moving, latent={"samples": noise_for(12)})


def test_masks_without_a_video_are_refused(moving):
    with pytest.raises(ValueError, match="the latent is empty but has noise masks"):
        recorded(moving, latent={"samples": torch.zeros(1, 4, 8, 8), "noise_mask": torch.ones(1, 64, 64)})


@pytest.mark.parametrize("format", FORMATS)
def test_all_qualities_of_a_codec_are_on_the_node(moving, format, output_folder):
    [crf] = [given for given in RecordVideo.define_schema().inputs if given.id == "crf"]
    most = FORMATS[format].crf.stop - 1
    assert most <= crf.max
    written = {}
    for quality in (0, most):
        file = VideoFile(Target("quality", format, 8.0, quality), SIDE, SIDE)
        file.write(torch.rand(4, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)))
        file.close()
        written[quality] = file.path.stat().st_size
        assert len(brightness(file.path)) == 4
    assert written[most] < written[0] / 2


@pytest.mark.parametrize(("wrong", "message"), [
    ({"format": "gif"}, "format is 'gif'; expected one of mp4, webm"),
    *(({"fps": fps}, f"fps is {fps:g}; expected more than 0") for fps in (0.0, float("nan"), float("inf"))),
    ({"crf": 52}, "crf is 52; expected 0 to 51 for mp4, 19 is recommended"),
    ({"crf": 64, "format": "webm"}, "crf is 64; expected 0 to 63 for webm, 30 is recommended"),
    ({"crf": -1}, "crf is -1; expected 0 to 51"),
    ({"audio": {"waveform": torch.zeros(1, 3, 9), "sample_rate": 9}}, "3 channels; expected 1, 2, 6"),
    ({"audio": {"waveform": torch.zeros(0, 2, 9), "sample_rate": 9}}, r"shape \(0, 2, 9\); expected \(1, channels"),
    ({"audio": {"waveform": torch.zeros(2, 9), "sample_rate": 9}}, r"shape \(2, 9\); expected \(1, channels"),
])
def test_what_no_file_can_hold_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Target(**{"filename_prefix": "test", "format": "mp4", "fps": 8.0, "crf": 19} | wrong)
