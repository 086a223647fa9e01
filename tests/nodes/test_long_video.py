"""The node Long Video: what it sets up, what it says, and what it refuses."""

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.motion.module import MotionConfig
from animatelcm.nodes import long_video
from animatelcm.nodes.long_video import LongVideo
from animatelcm.tests.host import probe, snapshots
from animatelcm.tests.support import CONFIG, loaded_motion, relative_rms, run, tiny_model, with_windows

DEFAULTS = {socket.id: socket.default for socket in LongVideo.define_schema().inputs if hasattr(socket, "default")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A MODEL whose motion module knows 20 frames."""
    motion = loaded_motion(tmp_path_factory.mktemp("motion"), MotionConfig(CONFIG.channels, max_frames=20))
    return apply_motion(tiny_model(), motion, 1.0, None)


@pytest.fixture
def messages(monkeypatch):
    """The lines that the node shows."""
    lines = []
    monkeypatch.setattr(long_video, "show_text", lambda node, text: lines.extend(text.split("\n")))
    return lines


def execute(model, **settings):
    """Run the node with its defaults."""
    return LongVideo.execute(model=model, **DEFAULTS | settings).result[0]


def calls(model, num_frames, steps=1):
    """Return the frames that the UNet is called with."""
    unet = probe.Probe()
    probe.sample(unet.on(model), num_frames, steps=steps, cfg=1.0)
    return unet.frames


def test_windows_are_sixteen_frames_that_share_four(model, messages):
    assert DEFAULTS == {"context_length": 16, "context_overlap": 4, "loop": False, "freenoise": True}
    windows = calls(execute(model, freenoise=False), 40)
    assert windows == [list(range(start, start + 16)) for start in (0, 12, 24)]
    assert messages == ["windows of 16 frames, every 12 frames", "takes 1.33 times as long as one piece would"]


def test_it_is_the_hosts_own_node_with_the_right_settings(model):
    ours = run(execute(model, context_length=4, context_overlap=1), num_frames=9)
    assert torch.equal(ours, run(with_windows(model, freenoise=True), num_frames=9))
    assert relative_rms(run(with_windows(model, freenoise=True, causal=True), num_frames=9), ours) > 1e-3


def test_a_short_video_is_one_piece(model):
    assert torch.equal(run(execute(model), num_frames=5), run(model, num_frames=5))


def test_a_loop_joins_the_end_to_the_start(model):
    windows = calls(execute(model, context_length=8, context_overlap=3, loop=True, freenoise=False), 20, steps=4)
    joints = {(before, after) for window in windows for before, after in zip(window, window[1:], strict=False)}
    assert joints == {(frame, (frame + 1) % 20) for frame in range(20)}
    assert {len(window) for window in windows} == {8}


@pytest.mark.parametrize("num_frames", [5, 8])
def test_a_loop_of_one_window_is_refused(model, num_frames):
    looped = execute(model, context_length=8, context_overlap=3, loop=True)
    with pytest.raises(ValueError, match=f"loop needs more frames.*has {num_frames}.*is 8.*such as {num_frames // 2}"):
        run(looped, num_frames=num_frames)
    assert run(looped, num_frames=9, steps=1).isfinite().all()


def test_freenoise_gives_later_frames_the_noise_of_earlier_ones(model):
    [*first, last] = calls(execute(model, context_length=8, context_overlap=2), 20)
    noise = {}
    for window, start in zip([*first, last], (0, 6, 12), strict=True):
        noise |= dict(zip(range(start, start + 8), window, strict=True))
    assert [noise[frame] for frame in range(8)] == list(range(8))
    assert sorted(noise[frame] for frame in range(8, 14)) == list(range(6))
    assert calls(execute(model, context_length=8, context_overlap=2, freenoise=False), 20)[0] == list(range(8))


def test_every_execution_has_a_handler_of_its_own(model):
    """The host's handler remembers at which step it is."""
    handlers = [execute(model).model_options["context_handler"] for _ in range(2)]
    assert handlers[0] is not handlers[1]


@pytest.mark.parametrize(("settings", "message"), [
    ({"context_length": 21}, "context_length is 21.* at most 20 frames"),
    ({"context_length": 8, "context_overlap": 8}, "windows of 8 frames cannot share 8.*smaller than context_length"),
    ({"context_length": 8, "context_overlap": 12}, "windows of 8 frames cannot share 12"),
])
def test_values_that_do_not_fit_are_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        execute(model, **settings)


def test_a_model_without_motion_is_refused():
    with pytest.raises(ValueError, match="no motion module.*after Text to Video, Image to Video or Apply"):
        execute(tiny_model())


def test_windows_twice_are_refused(model):
    for already in (execute(model), with_windows(model)):
        with pytest.raises(ValueError, match="context windows already"):
            execute(already)


def test_the_given_model_stays_what_it_was(model):
    before, result = snapshots.options_of(model), run(model)
    run(execute(model, context_length=4, context_overlap=1, loop=True), num_frames=9)
    assert snapshots.options_of(model) == before
    assert torch.equal(run(model), result)
