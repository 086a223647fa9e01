"""Virtual environments that can run a ComfyUI host, set up once and recognised afterwards.

The first one holds PyTorch and everything that the reference host needs. A further host gets its own small
environment on top of it, with only the packages that it pins to other versions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .lock import locked

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
# The host imports torchaudio when it starts. 2.11.0 is its last release; it loads beside newer versions of PyTorch,
# although it asks for its own one.
TORCHAUDIO = "torchaudio==2.11.0"
CONSTRAINTS = (
    'transformers==5.23.0; python_version >= "3.11"',
    'kornia==0.9.0; python_version >= "3.11"',
    'av==18.1.0; python_version >= "3.11"',
)
RUN_MODULES = ("torch", "torchvision", "torchaudio", "safetensors", "einops", "kornia", "av", "aiohttp", "yaml")
# What a purpose needs on top of the host's own packages: {purpose: (packages, modules that must then be importable)}.
PURPOSES = {
    "run": ((), ()),
    "test": (("pytest==9.2.0", "ruff==0.17.6", "mypy==2.4.1", "diffusers==0.36.0", "accelerate==1.15.0",
              'matplotlib==3.11.2; python_version >= "3.11"', 'matplotlib==3.10.9; python_version < "3.11"'),
             ("pytest", "ruff", "mypy", "diffusers", "accelerate", "matplotlib")),
    "browser": (("playwright==1.65.2",), ("playwright",)),
}


ROOT = Path(__file__).resolve().parents[2]
WORK_VARIABLE = "ANIMATELCM_WORK"
ELSEWHERE = f"name a folder that can be written with --work PATH, or in the variable {WORK_VARIABLE}"


class SetupError(RuntimeError):
    """The environment cannot be made; the message says what to do."""


def find_python(host: Path, purpose: str) -> Path | None:
    """Return an interpreter that already has all that a user's own host needs, or None.

    Looked at: the one that runs now, then the places where ComfyUI installations keep theirs.
    """
    modules = RUN_MODULES + PURPOSES[purpose][1]
    check = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in {modules!r}))"
    places = [Path(sys.executable), *(interpreter(host / name) for name in ("venv", ".venv")),
              host.parent / "python_embeded" / "python.exe"]
    for python in places:
        if python.is_file() and subprocess.run([str(python), "-c", check], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    return None


def interpreter(venv: Path) -> Path:
    """Return the path of a virtual environment's Python."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def make_venv(venv: Path) -> Path:
    """Make a virtual environment if it is not there yet, or is broken, and return its Python."""
    python = interpreter(venv)
    if not python.is_file() or subprocess.run([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL).returncode:
        shutil.rmtree(venv, ignore_errors=True)
        print(f"Making the virtual environment {venv}", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)])
        if made.returncode:
            shutil.rmtree(venv, ignore_errors=True)
            raise SetupError(f"{venv} could not be made with {sys.executable}; what Python said is above. {_advice()}")
    return python


def _advice() -> str:
    """Return what to do when Python's venv module failed."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        return "This Python lacks a part of it. On Debian and Ubuntu: sudo apt install python3-venv"
    return f"Check the free disk space, or {ELSEWHERE}"


def work_path() -> Path:
    """Return the folder of the environments, hosts and downloads."""
    chosen = os.environ.get(WORK_VARIABLE)
    return Path(chosen).absolute() if chosen else ROOT / ".dev"


def output_path() -> Path:
    """Return the folder for what is made for the user."""
    return (work_path() if os.environ.get(WORK_VARIABLE) else ROOT) / "output"


@contextmanager
def work_folder() -> Iterator[Path]:
    """Have the folder of the environments, hosts and downloads to oneself; it is made where it is missing.

    Raises:
        SetupError: It cannot be written or locked.
    """
    folder = work_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock", "sets things up there"):
            yield folder
    except OSError as error:
        raise SetupError(f"the work folder {folder} cannot be used: {error}. To have another, {ELSEWHERE}") from error


def layer_on(venv: Path, below: Path) -> Path:
    """Make an environment that also sees the packages of another one, and return its Python.

    What is installed into it comes first; the environment below is never changed.
    """
    python = make_venv(venv)
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    above_packages, below_packages = (
        subprocess.run([str(p), "-c", show], check=True, capture_output=True, text=True).stdout.strip()
        for p in (python, interpreter(below)))
    (Path(above_packages) / "below.pth").write_text(below_packages + "\n", encoding="utf-8")
    return python


def install(python: Path, host: Path, pack: Path, purpose: str) -> None:
    """Install into a virtual environment what the host, the pack and a purpose need, unless that was done before.

    A file in the environment records what was installed, so that an unchanged environment costs nothing.
    """
    venv = python.parent.parent
    for step in dict.fromkeys(("run", purpose)):
        stamp = venv / f"installed-{step}.txt"
        commands, wanted = _commands(host, pack, step, venv)
        fingerprint = hashlib.sha256(wanted.encode()).hexdigest()
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint:
            continue
        started = time.monotonic()
        for number, (title, arguments) in enumerate(commands, 1):
            print(f"Installing {number}/{len(commands)}: {title}", flush=True)
            _pip(python, arguments)
        stamp.write_text(fingerprint, encoding="utf-8")
        print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def _commands(host: Path, pack: Path, step: str, venv: Path) -> tuple[list[tuple[str, list[str]]], str]:
    """Return the pip calls of one step as (title, arguments), and one text that changes when they do."""
    constraints = venv / "constraints.txt"
    constraints.write_text("\n".join(CONSTRAINTS) + "\n", encoding="utf-8")
    if step != "run":
        packages = PURPOSES[step][0]
        return [(" ".join(packages), ["-c", str(constraints), *packages])], "\n".join(packages + CONSTRAINTS)
    requirements = without_torch((host / "requirements.txt").read_text(encoding="utf-8"))
    host_file = venv / "host-requirements.txt"
    host_file.write_text(requirements, encoding="utf-8")
    own = pack / "requirements.txt"
    calls = [
        ("PyTorch, the largest part", list(TORCH)),
        ("what ComfyUI needs", ["-c", str(constraints), *TORCH, "-r", str(host_file), "-r", str(own)]),
        ("torchaudio", ["--no-deps", TORCHAUDIO]),
    ]
    wanted = "\n".join([*TORCH, TORCHAUDIO, *CONSTRAINTS, requirements, own.read_text(encoding="utf-8")])
    return calls, wanted


def without_torch(requirements: str) -> str:
    """Return a requirements file without its lines for torch, torchvision and torchaudio, which are pinned here."""
    return "".join(line for line in requirements.splitlines(keepends=True)
                   if not re.match(r"(torch|torchvision|torchaudio)\s*([=<>!~;#]|$)", line.strip()))


def _pip(python: Path, arguments: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    # pip lists every package that is there already; only what it does is of interest.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace") as pip:
        for line in pip.stdout or ():
            if line.startswith("Installing collected packages"):
                print(f"  unpacking {line.count(',') + 1} packages, a minute or two without further news", flush=True)
            elif line.startswith(("Downloading", "  Downloading", "Successfully", "ERROR")):
                print("  " + line.strip()[:160], flush=True)
    if pip.returncode:
        raise SetupError(f"pip failed with exit status {pip.returncode}; what it said is above. "
                         "Check the network connection and the free disk space, then run the command again.")
