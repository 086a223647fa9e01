"""A batch on two real servers, one of which ends in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from animatelcm.client.api import ComfyClient
from animatelcm.tests.server.sampling import latents_of, sampling
from animatelcm.tools.hosts.server import PACK_NAME, Server, make_base
from safetensors.torch import load_file
from torch import equal

ROOT = Path(__file__).resolve().parents[2]
ROWS = 6


def test_rows_on_two_servers_of_which_one_ends(server: Server, client: ComfyClient, tmp_path: Path) -> None:
    prompt = sampling("motion", 0, steps=2, frames=2)
    (tmp_path / "workflow.json").write_text(json.dumps(prompt), encoding="utf-8")
    rows = "".join(json.dumps({"seed": seed, "sampled.steps": 2}) + "\n" for seed in range(ROWS))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    output = tmp_path / "results"
    with Server(server.host, make_base(tmp_path / "base", {PACK_NAME: ROOT})) as other:
        batch = subprocess.Popen(
            [sys.executable, str(ROOT / "batch.py"), str(tmp_path / "workflow.json"), str(tmp_path / "rows.jsonl"),
             "--server", server.url, other.url, "--output", str(output), "--keep-going"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 120
        while len(list(output.glob("*.latent"))) < ROWS // 3:
            assert batch.poll() is None and time.monotonic() < until
            time.sleep(0.05)
    _, errors = batch.communicate(timeout=240)
    assert batch.returncode == 0, errors
    lines = [json.loads(line) for line in (output / "batch.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["server"] for line in lines if line["state"] == "queued"} == {server.url, other.url}
    assert sorted(line["seed"] for line in lines if line["state"] == "done") == list(range(ROWS))
    saved = sorted(output.glob("*.latent"))
    assert [path.name for path in saved] == [f"{seed + 1:04}-seed-{seed}.latent" for seed in range(ROWS)]
    # Each file is what its row makes.
    direct = latents_of(client, client.run(sampling("motion", ROWS - 1, steps=2, frames=2)))
    assert equal(load_file(saved[-1])["latent_tensor"], direct)
    assert not equal(load_file(saved[0])["latent_tensor"], direct)
