"""What the registry publishes: its description is one that it accepts, and its files are a pack that loads."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from animatelcm.host.folders import register_folders
from animatelcm.nodes import NODES

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

register_folders()
ROOT = Path(__file__).resolve().parent.parent
DESCRIPTION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEVICES = {f"Environment :: {name}" for name in (
    "GPU :: NVIDIA CUDA", "GPU :: AMD ROCm", "GPU :: Intel Arc", "NPU :: Huawei Ascend", "GPU :: Apple Metal")}
MOST_MEGABYTES = 80
LOADS = """
import asyncio, importlib.util, json, sys
sys.path.insert(0, sys.argv[2])
import comfy.cli_args
comfy.cli_args.args.cpu = True
spec = importlib.util.spec_from_file_location("pack", sys.argv[1] + "/__init__.py",
                                              submodule_search_locations=[sys.argv[1]])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)
extension = pack.comfy_entrypoint()
extension = asyncio.run(extension) if asyncio.iscoroutine(extension) else extension
asyncio.run(extension.on_load())
nodes = asyncio.run(extension.get_node_list())
print(json.dumps([node.GET_SCHEMA().node_id for node in nodes]))
"""


def published() -> list[str]:
    """Return the tracked files that `.comfyignore` leaves."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no git checkout")

    def listed(*options):
        run = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, check=True, capture_output=True, text=True)
        return {name for name in run.stdout.split("\0") if name and (ROOT / name).is_file()}

    return sorted(listed() - listed("-c", "-i", "--exclude-from=.comfyignore"))


def test_the_description_is_one_that_the_registry_takes():
    project, comfy = DESCRIPTION["project"], DESCRIPTION["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,99}", project["name"]) and not project["name"].startswith("comfyui")
    assert all(re.match(r"https://\S+$", project["urls"][name]) for name in ("Repository", "Documentation", "Issues"))
    assert {name for name in project["classifiers"] if name.startswith("Environment")} <= DEVICES
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["includes"] == []
    for picture in ("Icon", "Banner"):
        assert comfy[picture].startswith("https://raw.githubusercontent.com/")
        assert (ROOT / "docs" / comfy[picture].rpartition("/")[2]).is_file(), picture


def test_the_version_is_that_of_the_changelog():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest and newest[1] == DESCRIPTION["project"]["version"]


def test_requirements_are_those_of_the_description():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line and not line.startswith("#")]
    assert sorted(named) == sorted(DESCRIPTION["project"]["dependencies"])


def test_the_pack_leaves_out_how_it_is_made():
    files = published()
    rooms = {name.split("/")[0] for name in files}
    assert not rooms & {"tests", "tools", "dev.py", ".github", ".ci", "output"}
    assert {"nodes", "motion", "samplers", "host", "example_workflows", "web", "LICENSE", "NOTICE"} <= rooms
    assert not [name for name in files if name.startswith("docs/") and not name.endswith(".md")]
    assert sum((ROOT / name).stat().st_size for name in files) < MOST_MEGABYTES * 1e6


def test_the_published_pack_loads_without_the_rest(tmp_path):
    for name in published():
        target = tmp_path / "pack" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    host = str(Path(os.environ["COMFYUI_PATH"]).resolve())
    run = subprocess.run([sys.executable, "-c", LOADS, str(tmp_path / "pack"), host], check=True, capture_output=True,
                         text=True, cwd=tmp_path)
    loaded = json.loads(run.stdout.splitlines()[-1])
    assert loaded == [node.define_schema().node_id for node in NODES]


def test_a_client_of_the_registry_finds_nothing_wrong(tmp_path):
    """With comfy-cli, where it is installed: it reads the description, and packs what git and .comfyignore say."""
    pytest.importorskip("comfy_cli")
    from comfy_cli.file_utils import zip_files
    from comfy_cli.registry.config_parser import extract_node_configuration

    found = extract_node_configuration(str(ROOT / "pyproject.toml"))
    assert found.project.version == DESCRIPTION["project"]["version"]
    assert len(found.project.supported_accelerators) == 4 and found.project.supported_comfyui_version
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        zip_files(str(tmp_path / "node.zip"), includes=found.tool_comfy.includes)
    import zipfile

    with zipfile.ZipFile(tmp_path / "node.zip") as archive:
        assert sorted(archive.namelist()) == published()
