"""Files that are replaced, or go, while ComfyUI runs: the host's cache hears of it, and a user gets a sentence."""

import os

import folder_paths
import pytest
from animatelcm.host.folders import EMBEDDED, MOTION_LORAS, MOTION_MODELS
from animatelcm.host.trained import LORAS
from animatelcm.nodes.motion import LoadMotionModule
from animatelcm.nodes.motion_lora import LoadMotionLoRA
from animatelcm.nodes.spatial_lora import LoadSpatialLoRA

NAME = "sub/file.safetensors"
GIVEN = {"motion_module": None, "strength": 1.0, "strength_curve": "", "strength_values": None}
LOADERS = {
    MOTION_MODELS: (LoadMotionModule, {"motion_file": NAME}),
    MOTION_LORAS: (LoadMotionLoRA, GIVEN | {"lora_file": NAME}),
    LORAS: (LoadSpatialLoRA, {"lora_file": NAME}),
}


@pytest.fixture(params=LOADERS)
def loader(request, tmp_path, monkeypatch):
    """A node that loads a file, what it is given, and the file."""
    kinds = {folder: ([str(tmp_path / folder)], {".safetensors"}) for folder in LOADERS}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", kinds)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    path = tmp_path / request.param / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first")
    return *LOADERS[request.param], path


def test_a_file_that_stays_is_not_loaded_again(loader):
    node, given, _ = loader
    assert node.fingerprint_inputs(**given) == node.fingerprint_inputs(**given)


def test_a_file_that_is_replaced_is_loaded_again(loader):
    node, given, path = loader
    found = [node.fingerprint_inputs(**given)]
    path.write_bytes(b"larger one")
    found.append(node.fingerprint_inputs(**given))
    os.utime(path, ns=(5, path.stat().st_mtime_ns + 1))
    found.append(node.fingerprint_inputs(**given))
    path.unlink()
    found += [node.fingerprint_inputs(**given)]
    path.write_bytes(b"back")
    found.append(node.fingerprint_inputs(**given))
    assert len(set(found)) == len(found)


def test_a_file_that_is_gone_is_named(loader):
    node, given, path = loader
    path.unlink()
    assert node.fingerprint_inputs(**given) == node.fingerprint_inputs(**given)
    with pytest.raises(FileNotFoundError, match=f"there is no file '{NAME}' in .*{path.parents[1].name}.*Put it back"):
        node.execute(**given)


def test_a_file_that_cannot_be_read_is_named(loader):
    node, given, path = loader
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))
    assert node.fingerprint_inputs(**given) == node.fingerprint_inputs(**given)
    with pytest.raises(Exception, match="is a link that leads nowhere"):
        node.execute(**given)


def test_the_demos_own_file_has_a_fingerprint():
    assert LoadMotionModule.fingerprint_inputs(EMBEDDED)
