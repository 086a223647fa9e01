"""What keeps the tree in order: ruff, the type checker, and no large files in git."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import pytest
from animatelcm.tools import check_types

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "is missing in this environment. `python dev.py test` installs it; else: pip install"
LARGEST = 250_000
"""Bytes of a file in git: what is committed once is in every clone for ever."""
PICTURES = (".gif", ".jpg", ".mp4", ".png", ".webm", ".webp")


def test_ruff_finds_nothing():
    assert find_spec("ruff"), f"ruff {INSTALL} ruff"
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_right():
    assert find_spec("mypy"), f"mypy {INSTALL} mypy"
    done = check_types.check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_type_is_found_and_named(tmp_path):
    assert find_spec("mypy"), f"mypy {INSTALL} mypy"
    for folder in check_types.CHECKED:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "motion" / "number.py").write_text("number: int = 'one'\n", encoding="utf-8")
    imported = "from ..motion.number import number\nnumber + 'two'\n"
    (tmp_path / "samplers" / "other.py").write_text(imported, encoding="utf-8")
    done = check_types.check(tmp_path)
    assert done.returncode == 1, done.stderr
    assert f"{Path('motion', 'number.py')}:1: error: Incompatible types" in done.stdout
    assert f"{Path('samplers', 'other.py')}:2: error: Unsupported operand types" in done.stdout


def may_be_large(file: PurePosixPath) -> bool:
    """Say whether a file is of a kind that is large by nature: the embedded models, and what pages show."""
    if file.parts[0] == "demo":
        return file.suffix == ".safetensors" or file == PurePosixPath("demo/subjects.webp")
    return file.parts[0] in ("docs", "example_workflows") and file.suffix in PICTURES


def too_large(root: Path) -> list[str]:
    """Return the large files in git that should not be there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and (root / name).is_file()
            and (root / name).stat().st_size > LARGEST and not may_be_large(PurePosixPath(name))]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
class TestLargeFiles:
    @pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy of the project is no git repository")
    def test_none_is_in_git(self):
        assert too_large(ROOT) == []

    def test_one_would_be_found(self, tmp_path):
        names = ("demo/checkpoint.pt", "docs/clip.webp", "docs/figures.json", "demo/weights/unet.safetensors",
                 "weights.safetensors")
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(bytes(LARGEST + 1))
        (tmp_path / "small.py").touch()
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
        assert too_large(tmp_path) == ["demo/checkpoint.pt", "docs/figures.json", "weights.safetensors"]
