"""In a window's call nothing of ours is there for the whole video but what the user gave, once."""

import gc
from collections import Counter

import torch
from animatelcm.host.image_to_video import apply_image_to_video
from animatelcm.nodes.controls import MotionControl
from animatelcm.tests.host import probe
from animatelcm.tests.host.controls import control_net, controlled, hints
from animatelcm.tests.support import loaded_image_to_video, noise_for, run, with_windows
from comfy.patcher_extension import WrappersMP

FRAMES = 41
"""A number that no layer has of channels, and no other test of frames."""


def of_the_whole_video(model, conds):
    """Return how many tensors of each shape have an entry for each frame, in the call for the second window."""
    calls, found, model = [], Counter(), model.clone()

    def note(executor, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            gc.collect()
            # Other tests may have left some that have no shape.
            tensors = [each for each in gc.get_objects()
                       if type(each) is torch.Tensor and not each.is_nested and each.shape[:1] == (FRAMES,)]
            # Views of one memory are one tensor.
            found.update({each.untyped_storage().data_ptr(): tuple(each.shape) for each in tensors}.values())
        return executor(*args, **kwargs)

    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, note)
    positive, negative = conds
    run(model, num_frames=FRAMES, steps=1, cfg=1.5, positive=positive, negative=negative)
    return found


def test_only_what_was_given_is_there_for_all_frames(model, tmp_path):
    positive, negative = controlled(control_net(), hints(FRAMES))
    conds = [[probe.prompts(FRAMES)[0][0], positive[0][1]]], negative
    reference, mask = noise_for(FRAMES, seed=5), torch.rand(FRAMES, 8, 8)
    moved = MotionControl.execute(loaded_image_to_video(tmp_path), 0.0, 1.0, "0: 1, 40: 0", mask).result[0]
    animated = apply_image_to_video(model, moved, reference, 0.8, (1.0,) * 4, 1.0, None)
    hosts = of_the_whole_video(with_windows(model, 16, 4), conds)
    given = [tuple(each.shape) for each in (reference, mask)] + [(FRAMES, 3, 64, 64)]
    assert all(hosts[shape] for shape in given), "what was given is seen"
    # A curve comes as text; its numbers, a float for each frame, are made once in a run.
    numbers = Counter({(FRAMES,): 1})
    assert of_the_whole_video(with_windows(animated, 16, 4), conds) == hosts + numbers
