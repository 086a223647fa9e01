"""A cache holds what its source gives, whatever interrupts its filling, and refuses to hold anything else."""

import pytest
import torch
from animatelcm.tools.demo import codec_training, latent_cache
from animatelcm.tools.demo.latent_cache import BLOCK, CacheError, Source, cached, encode


@pytest.fixture(scope="module")
def codec():
    return codec_training.averaged({name: weight.detach()
                                    for name, weight in codec_training.new_codec(0).named_parameters()})


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(latent_cache, "BLOCK", 4)


def flags(folder, name):
    return torch.frombuffer(bytearray((folder / f"{name}.done").read_bytes()), dtype=torch.uint8)


def test_entries_are_the_latents_of_their_scenes(tmp_path, codec):
    for source in (Source("images", 8), Source("clips", 4, clips=True)):
        cache = cached(tmp_path, source, codec, workers=1)
        assert cache.latents.shape == source.shape
        for index in (0, source.count - 1):
            expected = encode(codec, source.drawn(index).frames)
            assert torch.allclose(cache.batch([index], torch.device("cpu")), expected, atol=5e-3)
    assert len({source.scene(index) for index in range(4)}) == 4


def test_filling_goes_on_where_it_was(tmp_path, codec):
    source = Source("images", 12)
    whole = cached(tmp_path, source, codec, workers=1).latents.clone()
    path = tmp_path / "images.latents"
    content, size = bytearray(path.read_bytes()), whole[:4].numel() * 2
    content[size:] = bytes(2 * size)
    path.write_bytes(content)
    (tmp_path / "images.done").write_bytes(bytes([1, 0, 0]))
    again = cached(tmp_path, source, codec, workers=2)
    assert torch.equal(again.latents, whole) and flags(tmp_path, "images").tolist() == [1, 1, 1]


def test_a_cache_grows_and_can_be_read_in_part(tmp_path, codec):
    small = cached(tmp_path, Source("images", 4), codec, workers=1).latents.clone()
    large = cached(tmp_path, Source("images", 8), codec, workers=1).latents
    assert torch.equal(large[:4], small) and large[4:].abs().amax((1, 2, 3, 4)).min() > 0
    part = cached(tmp_path, Source("images", 4), codec, workers=1)
    assert torch.equal(part.latents, small)
    assert flags(tmp_path, "images").tolist() == [1, 1]


def test_another_seed_or_codec_is_refused(tmp_path, codec):
    cached(tmp_path, Source("images", 4), codec, workers=1)
    with pytest.raises(CacheError, match="'images' differ"):
        cached(tmp_path, Source("images", 4, seed=1), codec, workers=1)
    other = codec_training.new_codec(0).requires_grad_(False)
    other.mean.fill_(1.0)
    with pytest.raises(CacheError, match="remove the cache"):
        cached(tmp_path, Source("images", 4), other, workers=1)


def test_a_count_that_is_no_multiple_of_a_block_is_refused():
    with pytest.raises(ValueError, match="63 entries"):
        Source("images", 63)
    assert BLOCK == 64
