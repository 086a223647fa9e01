"""Which motion files are listed, and in which order."""

import folder_paths
import pytest
from animatelcm.demo.files import MODELS, MOTION, SWAY
from animatelcm.host.folders import EMBEDDED, MOTION_LORAS, MOTION_MODELS, motion_files, motion_lora_files


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """A user's folders beside the demo's, as the host knows them."""
    kinds = {folder: ([str(tmp_path / folder), str(MODELS / folder)], {".safetensors", ".ckpt"})
             for folder in (MOTION_MODELS, MOTION_LORAS)}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", kinds)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    for folder in kinds:
        (tmp_path / folder / "sub").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(("folder", "listed", "demo"), [
    (MOTION_MODELS, motion_files, MOTION), (MOTION_LORAS, motion_lora_files, SWAY),
])
def test_the_users_files_come_first_and_the_demos_last(own_files, folder, listed, demo):
    for name in ("zoom.ckpt", "sub/mm.safetensors"):
        (own_files / folder / name).touch()
    names, demo = listed(), demo.split("/")[1]
    assert names[:2] == ["sub/mm.safetensors", "zoom.ckpt"]
    assert demo in names[2:] and (listed is motion_lora_files or names[-1] == EMBEDDED)


def test_a_file_of_the_users_that_is_named_as_one_of_the_demos_is_the_users(own_files):
    demo = MOTION.split("/")[1]
    (own_files / MOTION_MODELS / "zoom.ckpt").touch()
    (own_files / MOTION_MODELS / demo).touch()
    assert motion_files()[:2] == [demo, "zoom.ckpt"]


def test_without_files_of_ones_own_the_demos_are_there(own_files):
    assert motion_files()[0].startswith("AnimateLCM_demo") and motion_files()[-1] == EMBEDDED
