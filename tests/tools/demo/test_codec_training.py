"""The training of the demo model's codec, apart from what it learns."""

from __future__ import annotations

import pytest
import torch
from animatelcm.tools.demo import codec_training
from animatelcm.training.checkpoints import CheckpointError

CPU = torch.device("cpu")


@pytest.fixture
def cheap(monkeypatch):
    """A loss and a report that take no time."""
    monkeypatch.setattr(codec_training, "codec_loss",
                        lambda codec, seed, step: sum(part.square().sum() for part in codec.parameters()))
    monkeypatch.setattr(codec_training, "measure", lambda codec, pictures: {"psnr": 0.0, "energy": 0.0, "bands": []})
    monkeypatch.setattr(codec_training, "held_out", lambda count: None)
    monkeypatch.setattr(codec_training, "standardise", lambda codec, count=0: None)
    return monkeypatch


def test_a_run_goes_on_from_its_checkpoint_and_another_seed_is_refused(cheap, tmp_path, capsys):
    codec_training.train_autoencoder(2, tmp_path, 0, CPU)
    file = tmp_path / "weights" / "codec.safetensors"
    before = file.read_bytes()
    with pytest.raises(CheckpointError, match=r"codec.pt belongs to another training: seed 1, was 0"):
        codec_training.train_autoencoder(2, tmp_path, 1, CPU)
    codec_training.train_autoencoder(2, tmp_path, 0, CPU)
    assert "step 2/2" in capsys.readouterr().out
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_what_stops_the_report_leaves_the_steps_that_are_done(cheap, tmp_path):
    def full(codec, pictures):
        raise OSError("no space left")

    cheap.setattr(codec_training, "measure", full)
    cheap.setattr(codec_training, "REPORT_EVERY", 2)
    with pytest.raises(OSError, match="no space left"):
        codec_training.train_autoencoder(9, tmp_path, 0, CPU)
    assert torch.load(tmp_path / "codec.pt")["step"] == 2
