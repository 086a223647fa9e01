"""The command writes beside the old file and never over one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from animatelcm.tests.migration.old_graphs import GRAPHS

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_old_file_and_earlier_results_stay(tmp_path):
    old = tmp_path / "old graph.json"
    old.write_text(json.dumps(GRAPHS["gen1_uniform"]()), encoding="utf-8")
    before = old.read_bytes()
    first, second = run("migrate.py", old), run("dev.py", "migrate", old)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert old.read_bytes() == before
    names = {path.name for path in tmp_path.iterdir()} - {old.name}
    assert names == {"old graph.migrated.json", "old graph.migrated.txt", "old graph.migrated-2.json",
                     "old graph.migrated-2.txt"}
    report = (tmp_path / "old graph.migrated.txt").read_text(encoding="utf-8")
    assert report in first.stdout
    assert "Load Motion Module" in report and "Not mapped:\n- nothing" in report
    assert json.loads((tmp_path / "old graph.migrated.json").read_text(encoding="utf-8"))["nodes"]


def test_what_is_no_workflow_is_refused(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"nodes": [{"id": 1}]}', encoding="utf-8")
    answer = run("migrate.py", broken)
    assert answer.returncode == 1 and answer.stderr.startswith("error: node 1 has no type")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]
