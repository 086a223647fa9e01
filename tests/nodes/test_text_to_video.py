"""Text to Video: motion, size and frames in one place, and found by the words that people type."""

import comfy.sample
import pytest
import torch
from animatelcm.host.advice import ADVICE
from animatelcm.host.folders import register_folders
from animatelcm.host.motion import applied_to
from animatelcm.nodes import NODES
from animatelcm.nodes.motion import AUTO, KEEP, ApplyMotionModule
from animatelcm.nodes.text_to_video import TextToVideo
from animatelcm.tests.support import conditioning, loaded_motion, tiny_model

from nodes import EmptyLatentImage

register_folders()


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return loaded_motion(tmp_path_factory.mktemp("motion"))


def execute(motion, width=64, height=96, num_frames=5, motion_strength=1.0, schedule=AUTO, model=None):
    return TextToVideo.execute(model or tiny_model(), motion, width, height, num_frames, motion_strength,
                               schedule).result


def sample(model, latent):
    with torch.inference_mode():
        noise = comfy.sample.prepare_noise(latent["samples"], 3)
        return comfy.sample.sample(model, noise, 2, 1.0, "lcm", "simple", conditioning(1), conditioning(2),
                                   latent["samples"], disable_pbar=True, seed=3)


def test_it_is_apply_motion_module_and_empty_latent_image_in_one(motion):
    base = tiny_model()
    [theirs] = EmptyLatentImage().generate(64, 96, 5)
    apart = sample(ApplyMotionModule.execute(base, motion, 1.3, AUTO).result[0], theirs)
    assert torch.equal(sample(*execute(motion, motion_strength=1.3, model=base)), apart)


def test_every_socket_is_what_it_is_called(motion):
    model = tiny_model()
    applied, latent = execute(motion, 72, 128, 3, 0.4, KEEP, model)
    assert latent["samples"].shape == (3, 4, 16, 9) and not latent["samples"].any()
    assert applied.get_model_object("model_sampling") is model.get_model_object("model_sampling")
    assert [entry.strength for entry in applied_to(applied)] == [0.4]
    assert len(applied.model_options["transformer_options"][ADVICE]) == 1


@pytest.mark.parametrize(("size", "said"), [
    ((65, 64, 4), "Take 64 x 64"), ((64, 8, 4), "Take 64 x 64"), ((64, 64, 0), "at least 1"), ((64, 64, -3), "-3"),
])
def test_a_size_that_no_video_has_is_refused(motion, size, said):
    with pytest.raises(ValueError, match=said):
        execute(motion, *size)


@pytest.mark.parametrize(("word", "expected"), [
    ("video", {"Text to Video", "Image to Video", "Long Video"}),
    ("animatediff", {"Text to Video", "Image to Video", "Apply Motion Module", "Load Motion Module", "Long Video"}),
    ("evolved", {"Text to Video", "Apply Motion Module", "Load Motion Module", "Long Video"}),
    ("context", {"Long Video"}),
    ("gif", {"Text to Video", "Image to Video", "Apply Motion Module"}),
])
def test_words_that_people_type_find_it(word, expected):
    schemas = [node.define_schema() for node in NODES]
    found = {schema.display_name for schema in schemas
             if any(word in text.lower() for text in (schema.display_name, *(schema.search_aliases or ())))}
    assert expected <= found
