"""The pack in a real server: imported, described, and run through the HTTP interface."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import av
import pytest
from animatelcm.client.api import ComfyClient, Progress, RunError, saved_files
from animatelcm.client.workflow import load, set_text, to_prompt
from animatelcm.tools.hosts.server import PACK_NAME, Server, ServerError, make_base
from animatelcm.tools.workflows.contact_sheet import frames_of, sheet_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_workflows"
NODES = ("AnimateLCM_LoadMotionModule", "AnimateLCM_ApplyMotionModule", "AnimateLCM_ImageToVideo",
         "AnimateLCM_LongVideo", "AnimateLCM_Scheduler", "AnimateLCM_Sampler", "AnimateLCM_LoadDemoModel",
         "AnimateLCM_LoadMotionLoRA", "AnimateLCM_MotionControl", "AnimateLCM_PromptSchedule",
         "AnimateLCM_DistillSpatialLoRA", "AnimateLCM_DistillMotionModule", "AnimateLCM_LoadSpatialLoRA")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    # The host looks at `_meta` when a pack has registered replacements of nodes.
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def still_video(frames: int) -> dict[str, Any]:
    """A prompt that needs no model."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=frames, color=0x00FF00),
        "2": node("CreateVideo", images=["1", 0], fps=8.0),
        "3": node("SaveVideo", video=["2", 0], filename_prefix="still", format="auto", codec="auto"),
    }


def test_every_node_is_described(client: ComfyClient) -> None:
    described = client.object_info()
    assert [name for name in NODES if name not in described] == []


def test_saved_video_is_downloaded(client: ComfyClient, tmp_path: Path) -> None:
    seen: list[Progress] = []
    outputs = client.run(still_video(5), on_progress=seen.append)
    [saved] = saved_files(outputs)
    frames = frames_of(client.download(saved, tmp_path / "still.mp4"))
    assert len(frames) == 5
    assert all(abs(a - b) < 12 for a, b in zip(frames[0].getpixel((32, 32)), (0, 255, 0), strict=True))
    assert {progress.node_type for progress in seen} <= {"EmptyImage", "CreateVideo", "SaveVideo"}
    assert sheet_of(frames).width > sheet_of(frames).height


def test_a_run_has_the_id_that_was_asked_for_and_no_other_is_waited_for(client: ComfyClient) -> None:
    ours, unknown = str(uuid.uuid4()), str(uuid.uuid4())
    assert client.queue(still_video(2), prompt_id=ours) == ours
    assert len(saved_files(client.wait(ours, still_video(2)))) == 1
    with pytest.raises(RunError, match="neither queued nor finished"):
        client.wait(unknown, still_video(2))


def test_the_same_again_comes_from_the_cache(client: ComfyClient) -> None:
    prompt = still_video(3)
    client.run(prompt)
    assert isinstance(client.run(prompt), dict)


def test_refusal_names_node_and_input(client: ComfyClient) -> None:
    prompt = still_video(2)
    prompt["1"]["inputs"]["width"] = 0
    with pytest.raises(RunError, match=r"EmptyImage \(node 1\).*width"):
        client.run(prompt)


def test_a_node_that_the_server_lacks_is_refused(client: ComfyClient) -> None:
    with pytest.raises(RunError, match="NoSuchNode"):
        client.run({"1": node("NoSuchNode")})


def test_no_server_is_said_so() -> None:
    with pytest.raises(ConnectionError, match=r"no ComfyUI answers at http://127.0.0.1:9"):
        ComfyClient("http://127.0.0.1:9").object_info()


def test_examples_are_listed_by_the_server(client: ComfyClient, server: Server) -> None:
    listed = client.templates()
    assert set(listed["AnimateLCM"]) == {path.stem for path in EXAMPLES.glob("*.json")}


def test_a_second_copy_of_the_pack_is_refused(server: Server, tmp_path: Path) -> None:
    twice = make_base(tmp_path, {PACK_NAME: ROOT, "copy": ROOT})
    with pytest.raises(ServerError, match="AnimateLCM is installed twice"), Server(server.host, twice):
        pass


def test_demo_example_makes_a_video_of_sixteen_frames(client: ComfyClient) -> None:
    prompt = to_prompt(load(EXAMPLES / "03 Text to Video Demo.json"), client.object_info())
    set_text(prompt, "a penguin running left in the snow")
    steps: list[Progress] = []
    [saved] = saved_files(client.run(prompt, on_progress=steps.append))
    with av.open(io.BytesIO(client.fetch_file(saved))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 16
    assert frames[0].shape == (128, 128, 3)
    # Something moves.
    assert abs(frames[0].astype(int) - frames[-1]).max() > 50
    assert any(progress.steps > 1 for progress in steps)
