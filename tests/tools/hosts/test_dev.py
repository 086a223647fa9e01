"""The command lines themselves, as far as they go without a server."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "COMFYUI_PATH"} | variables
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_lists_the_commands(words: tuple[str, ...]) -> None:
    done = run("dev.py", *words)
    assert done.returncode == 0
    assert "dev.py demo" in done.stdout


def test_unknown_command() -> None:
    done = run("dev.py", "dance")
    assert done.returncode == 2
    assert "dev.py demo" in done.stdout


@pytest.mark.parametrize("command", ["demo", "serve", "test", "bench"])
def test_folder_that_is_no_host_is_named(command: str, tmp_path: Path) -> None:
    for done in (run("dev.py", command, "--host", str(tmp_path)), run("dev.py", command, COMFYUI_PATH=str(tmp_path))):
        assert done.returncode == 1
        assert f"{tmp_path} is not a ComfyUI folder" in done.stderr


@pytest.mark.parametrize("words", [("--work", "{}"), ()])
def test_folder_that_cannot_be_written_is_named_with_another_way(words: tuple[str, ...], tmp_path: Path) -> None:
    """As in a checkout that is read-only."""
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "work")
    for command in ("demo", "test"):
        done = run("dev.py", command, *(word.format(folder) for word in words), ANIMATELCM_WORK=folder)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: the work folder {folder} cannot be used")
        assert "--work PATH" in done.stderr
        assert "apt install" not in done.stderr


def test_unpinned_version_is_refused() -> None:
    done = run("dev.py", "demo", "--host-version", "9.9")
    assert done.returncode == 2
    assert "0.30.0" in done.stderr


def test_batch_without_a_server_says_so() -> None:
    done = run("batch.py", "example_workflows/01 Text to Video.json", "--server", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no ComfyUI answers at http://127.0.0.1:9")


def test_migrating_for_a_server_that_is_not_there_says_so() -> None:
    done = run("dev.py", "migrate", "example_workflows/01 Text to Video.json", "--server", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no ComfyUI answers at http://127.0.0.1:9")


def test_command_lines_import_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"client", "migrate", "migration", "storage", "tools"}
    # Progress comes through aiohttp and a bar through tqdm where they are there; pip's own Python fetches archives.
    more = {"messages.py": {"aiohttp"}, "display.py": {"tqdm"}, "fetch_archive.py": {"pip"}}
    folders = ("client/**", "migration", "storage", "tools/hosts")
    scripts = [ROOT / name for name in ("dev.py", "batch.py", "migrate.py")]
    for path in [*scripts, *(path for folder in folders for path in ROOT.glob(f"{folder}/*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                     else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
            assert {name.partition(".")[0] for name in names} <= allowed | more.get(path.name, set()), path
