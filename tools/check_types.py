"""Check the types of what users load and of the tools, with mypy.

    python tools/check_types.py

The settings are in pyproject.toml. mypy wants a package with the name of a module, and this folder may have any name.
So the sources are copied to a folder named `animatelcm` and are checked there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "animatelcm"
CHECKED = ("client", "demo", "host", "keyframes", "migration", "motion", "nodes", "samplers", "storage", "tools",
           "training")
"""The folders whose types are checked."""


def check(root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run mypy on the checked folders of `root`; return how it ended, with paths as they are from `root`."""
    with tempfile.TemporaryDirectory() as above:
        for folder in CHECKED:
            for source in (root / folder).rglob("*.py"):
                copy = Path(above, PACKAGE, source.relative_to(root))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"),
                   "--cache-dir", str(ROOT / ".mypy_cache"), *(f"--package={PACKAGE}.{folder}" for folder in CHECKED)]
        done = subprocess.run(command, cwd=above, env=dict(os.environ, MYPYPATH=above), capture_output=True, text=True,
                              encoding="utf-8", errors="replace")
    done.stdout = done.stdout.replace(f"{PACKAGE}{os.sep}", "")
    return done


if __name__ == "__main__":
    result = check()
    print(result.stdout + result.stderr, end="")
    sys.exit(result.returncode)
