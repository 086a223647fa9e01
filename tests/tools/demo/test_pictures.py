"""The pictures of the demo model: which frame is where."""

import numpy as np
import torch
from animatelcm.tools.demo.pictures import GAP, SHOWN, playing, sheet


def clip(red):
    """Return a clip whose frames have a green of their own, and a red that is the clip's."""
    frames = torch.zeros(16, 3, 4, 6)
    frames[:, 0] = red
    frames[:, 1] = (torch.arange(16) / 15).view(16, 1, 1)
    return frames


def test_a_sheet_has_a_row_for_each_prompt_and_its_clips_side_by_side():
    picture = np.asarray(sheet([[clip(0.2), clip(0.4)], [clip(0.6), clip(0.8)]]))
    assert picture.shape == (8, 2 * 4 * 6 + GAP, 3)
    for row, reds in enumerate([(51, 102), (153, 204)]):
        for column, red in enumerate(reds):
            for place, frame in enumerate(SHOWN):
                pixel = picture[4 * row, column * (4 * 6 + GAP) + 6 * place]
                assert list(pixel) == [red, round(frame * 17), 0]


def test_clips_play_beside_and_below_one_another():
    frames = [np.asarray(frame) for frame in playing([clip(number / 5) for number in range(5)], across=2)]
    assert len(frames) == 16 and frames[0].shape == (8, 12, 3)
    assert [[int(frames[3][y, x, 0]) for x in (0, 6)] for y in (0, 4)] == [[0, 51], [102, 153]]
    assert (frames[3][..., 1] == 51).all()
