"""Videos are made with the nodes' own samplers, and the work is counted where the network is called."""

from types import SimpleNamespace

import pytest
import torch
from animatelcm.host.motion import apply_motion
from animatelcm.samplers.schedules import SCHEDULES
from animatelcm.tests.support import SCHEDULE, conditioning, loaded_motion, tiny_model
from animatelcm.tools.evaluation.long_video import sampling
from animatelcm.tools.evaluation.long_video.ways import ANCHORED, LONG_VIDEO, ONE_PIECE, ROLLING, WAYS


class Demo:
    """The tiny model in the place of the demo model; a picture is as bright as its latent."""

    def __init__(self, folder):
        self.model = apply_motion(tiny_model(), loaded_motion(folder), 1.0, SCHEDULES[SCHEDULE])
        self.vae = SimpleNamespace(decode=lambda samples: samples[:, :3].sigmoid().movedim(1, -1))
        self.clip = SimpleNamespace(tokenize=len, encode_from_tokens_scheduled=conditioning)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # Few latents, so that the test is quick.
        patch.setattr(sampling, "SIZE", 64)
        patch.setattr(sampling, "DemoSampler", lambda parts: Demo(tmp_path_factory.mktemp("motion")))
        yield sampling.LongSampler(None)


@pytest.mark.parametrize(("way", "evaluations"), [
    (ONE_PIECE, 4 * 16), (LONG_VIDEO, 4 * 2 * 16), (ROLLING, (3 + 7) * 16), (ANCHORED, (3 + 10) * 16),
    (WAYS["lookahead"], (3 + 2 * 7) * 16)], ids=lambda value: getattr(value, "slug", None))
def test_the_work_is_that_of_the_way(sampler, way, evaluations):
    made = sampler(way, "a horse", 3, 28)
    assert made.evaluations == evaluations
    assert made.clip.shape == (way.frames(28), 3, 8, 8)
    assert made.seconds > 0


def test_a_seed_decides_and_every_way_makes_its_own_video(sampler):
    first = sampler(ROLLING, "a horse", 3, 20).clip
    assert torch.equal(sampler(ROLLING, "a horse", 3, 20).clip, first)
    others = [sampler(ROLLING, "a horse", 4, 20), sampler(ROLLING, "a dog", 3, 20),
              sampler(WAYS["the same noise over and over"], "a horse", 3, 20), sampler(LONG_VIDEO, "a horse", 3, 20)]
    assert not any(torch.equal(other.clip, first) for other in others)
