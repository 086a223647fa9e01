"""Files that training is given: what is no LoRA, ControlNet or checkpoint is named, whatever its bytes are."""

import random

import folder_paths
import pytest
import torch
from animatelcm.host.folders import MOTION_LORAS, MOTION_MODELS, motion_files, motion_lora_path, motion_path
from animatelcm.host.motion import load_motion
from animatelcm.host.motion_lora import with_motion_lora
from animatelcm.host.trained import load_lora
from animatelcm.host.training import headless
from animatelcm.host.weights import WeightsError, load_checkpoint, load_control_net, read_lora
from animatelcm.motion.errors import MotionFileError
from animatelcm.motion.files import write_motion_file
from animatelcm.nodes.motion import chosen_schedule
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.host.controls import control_lora
from animatelcm.tests.motion import mutations
from animatelcm.tests.support import CONFIG, motion_module
from animatelcm.training import checkpoints
from animatelcm.training.options import OptionError

LORA = {f"lora_unet_down_blocks_0_attentions_0_proj_in.{part}": tensor for part, tensor in (
    ("lora_down.weight", torch.ones(2, 64)), ("lora_up.weight", torch.ones(64, 2)), ("alpha", torch.tensor(2.0)))}


def control_net():
    return {key: weight.contiguous() for key, weight in control_lora().control_weights.items()}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(("read", "tensors"), [
    (read_lora, lambda: LORA), (load_control_net, control_net), (load_checkpoint, lambda: LORA)],
    ids=["LoRA", "ControlNet", "checkpoint"])
@pytest.mark.filterwarnings("ignore")
def test_a_broken_file_is_read_or_refused(tmp_path, seed, read, tensors):
    path, _ = mutations.write_mutation(tensors(), {}, tmp_path, seed)
    try:
        read(path)
    except WeightsError as error:
        assert path.name in str(error)


@pytest.mark.parametrize("seed", range(25))
def test_a_broken_checkpoint_of_a_run_is_read_or_refused(tmp_path, seed):
    weights, draw = {"a": torch.ones(3, 2), "b": torch.ones(2)}, random.Random(seed)
    checkpoints.save(tmp_path / "run.pt", {"step": 1, "student": weights, "losses": [1.0]})
    data = bytearray((tmp_path / "run.pt").read_bytes())
    for _ in range(draw.choice((1, 10, 100))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    (tmp_path / "run.pt").write_bytes(data[:draw.choice((len(data), draw.randrange(len(data))))])
    try:
        state = checkpoints.load(tmp_path / "run.pt", torch.device("cpu"))
        if isinstance(state, dict) and isinstance(state.get("student"), dict):
            checkpoints.fill(tmp_path / "run.pt", "weights", dict(weights), state["student"])
    except checkpoints.CheckpointError as error:
        assert "run.pt" in str(error)


@pytest.mark.parametrize("content", [[1, 2], "text", torch.ones(2), None])
def test_a_checkpoint_of_a_run_is_a_table(tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(checkpoints.CheckpointError, match=r"run\.pt is no readable checkpoint"):
        checkpoints.history(tmp_path / "run.pt")


@pytest.mark.parametrize(("tensors", "message"), [
    ({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}, "a Stable Diffusion checkpoint"),
    ({"some.weight": torch.ones(1)}, "not recognised: it begins with some.weight"),
    ({"down_blocks.0.motion_modules.0.temporal_transformer.proj_in.lora_up.weight": torch.ones(2)}, "a motion LoRA"),
])
def test_what_is_no_lora_of_the_image_model_is_named(tmp_path, tensors, message):
    torch.save(tensors, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=rf"^a\.ckpt .*{message}.*Expected a LoRA of the image model"):
        read_lora(tmp_path / "a.ckpt")


def test_a_checkpoint_that_is_none_is_named(tmp_path):
    for write in (lambda path: None, lambda path: path.write_text("no weights"), lambda path: torch.save(LORA, path)):
        write(tmp_path / "a.ckpt")
        with pytest.raises(OptionError, match=r"model: .*a\.ckpt .*Give the path of one, or 'demo'"):
            headless.load(str(tmp_path / "a.ckpt"))


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """The host's folders of motion files, with nothing in them but what the test puts there."""
    known = {**folder_paths.folder_names_and_paths}
    for folder in (MOTION_MODELS, MOTION_LORAS, "loras"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        known[folder] = ([str(tmp_path / folder)], {".ckpt", ".safetensors"})
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


def test_files_of_one_name_are_told_apart_by_their_folders(folders):
    for place in ("a.ckpt", "sub/a.ckpt"):
        torch.save({"x": torch.ones(1)}, folders / MOTION_MODELS / place)
        torch.save({"x": torch.ones(1)}, folders / MOTION_LORAS / place)
        torch.save({"x": torch.ones(1)}, folders / "loras" / place)
        assert place in motion_files()
        with pytest.raises(MotionFileError, match=f"^{place} is not recognised"):
            load_motion(motion_path(place))
        with pytest.raises(MotionFileError, match=f"^{place} is not recognised"):
            with_motion_lora(None, motion_lora_path(place), 1.0)
        with pytest.raises(WeightsError, match=f"^{place} is not recognised"):
            load_lora(place)


def test_a_loaded_module_is_called_as_it_is_listed(folders):
    path = folders / MOTION_MODELS / "sub" / "a.safetensors"
    write_motion_file(path, motion_module().state_dict(), "own", "AnimateDiff", CONFIG)
    assert load_motion(motion_path("sub/a.safetensors")).name == "sub/a.safetensors"


def test_a_link_that_leads_nowhere_is_named(folders):
    (folders / MOTION_MODELS / "sub" / "a.ckpt").symlink_to(folders / "gone.ckpt")
    assert "sub/a.ckpt" in motion_files()
    with pytest.raises(MotionFileError, match=r"^sub/a\.ckpt is a link that leads nowhere: .*gone\.ckpt"):
        load_motion(motion_path("sub/a.ckpt"))
    with pytest.raises(FileNotFoundError):
        motion_path("../loras/none.ckpt")


def test_a_schedule_that_is_not_known_can_be_chosen(tmp_path):
    path = tmp_path / "new.safetensors"
    write_motion_file(path, motion_module().state_dict(), "own", "of next year", CONFIG)
    motion = load_motion(path)
    with pytest.raises(ValueError, match=r"new\.safetensors asks .* 'of next year'.* set schedule to .*AnimateDiff"):
        chosen_schedule(motion, "auto")
    assert chosen_schedule(motion, "AnimateDiff")[0] is SCHEDULES["AnimateDiff"]
