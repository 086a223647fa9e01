"""Colours of frames that go where those of the image are."""

import math

import pytest
import torch
from animatelcm.host.colours import HUE_SHARE, match_colours
from animatelcm.nodes.colours import MatchColour
from kornia.color import hsv_to_rgb, rgb_to_hsv


def picture(seed, hue=(1.0, 3.0), saturation=(0.3, 0.5), value=(0.4, 0.6), count=1, size=(12, 20)):
    """Return random images b h w c whose colours lie in these ranges."""
    generator = torch.Generator().manual_seed(seed)
    channels = [low + (high - low) * torch.rand(count, 1, *size, generator=generator)
                for low, high in (hue, saturation, value)]
    return hsv_to_rgb(torch.cat(channels, dim=1)).movedim(1, -1)


def means(images):
    """Return each image's mean hue, saturation and value, b 3."""
    return rgb_to_hsv(images.movedim(-1, 1)).mean((2, 3))


def test_the_image_itself_stays_as_it_is():
    image = picture(1)
    torch.testing.assert_close(match_colours(image, image), image)


@pytest.mark.parametrize("reference", [
    picture(2, hue=(4.0, 5.0), saturation=(0.45, 0.6), value=(0.5, 0.7)),
    picture(3, size=(1, 1)).expand(1, 30, 50, 3),
], ids=["as large", "larger"])
def test_saturation_and_value_become_the_images_and_hue_goes_a_little_way(reference):
    frames = picture(1, count=3)
    before, wanted, after = means(frames), means(reference), means(match_colours(frames, reference))
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(after[:, 1:], wanted[:, 1:].expand(3, 2), **close)
    torch.testing.assert_close(after[:, 0], before[:, 0] + HUE_SHARE * (wanted[0, 0] - before[:, 0]), **close)


def test_one_number_is_added_to_all_pixels():
    frames = picture(1)
    change = rgb_to_hsv(match_colours(frames, picture(2, value=(0.5, 0.7))).movedim(-1, 1)) - rgb_to_hsv(
        frames.movedim(-1, 1))
    assert change.std((2, 3)).max() < 1e-5
    assert change.mean((2, 3)).abs().min() > 1e-3


def test_each_frame_is_moved_by_itself_and_may_have_its_own_image():
    frames, references = picture(1, count=3), picture(2, count=3, value=(0.2, 0.6))
    together = match_colours(frames, references)
    for index in range(3):
        alone = match_colours(frames[index:index + 1], references[index:index + 1])
        assert torch.equal(together[index:index + 1], alone)
    assert not torch.equal(together, match_colours(frames, references[:1]))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("reference", [picture(2), torch.zeros(1, 12, 20, 3), torch.ones(1, 12, 20, 3)])
def test_greys_stay_grey_and_nothing_is_undefined(value, reference):
    matched = match_colours(torch.full((2, 12, 20, 3), value), reference)
    assert matched.isfinite().all() and matched.min() >= 0 and matched.max() <= 1
    assert (matched - matched.mean(-1, keepdim=True)).abs().max() < 1e-6
    torch.testing.assert_close(means(matched)[:, 2], means(reference)[:, 2].expand(2))


def test_what_leaves_the_range_ends_at_its_border():
    bright = match_colours(picture(1, value=(0.0, 1.0), count=2), torch.ones(1, 12, 20, 3))
    assert bright.min() >= 0 and bright.max() <= 1
    red = match_colours(picture(1, hue=(0.0, 0.01)), picture(2, hue=(6.2, 2 * math.pi)))
    assert red.isfinite().all()


def test_what_is_cut_off_does_not_count():
    image = torch.cat([torch.zeros(1, 20, 10, 3), picture(2, size=(20, 20)), torch.zeros(1, 20, 10, 3)], dim=2)
    frames = picture(1, size=(20, 20))
    assert torch.equal(match_colours(frames, image), match_colours(frames, picture(2, size=(20, 20))))


def test_grey_and_transparent_images_are_taken():
    frames = picture(1)
    assert match_colours(frames, torch.rand(1, 8, 8, 1)).shape == frames.shape
    transparent = torch.cat([frames, torch.zeros(1, 12, 20, 1)], dim=-1)
    torch.testing.assert_close(match_colours(transparent, transparent), frames)


def test_the_precision_of_the_frames_is_kept():
    assert match_colours(picture(1).half(), picture(2)).dtype == torch.float16


@pytest.mark.parametrize(("frames", "reference", "words"), [
    (torch.zeros(0, 8, 8, 3), picture(1), "at least one frame"),
    (torch.zeros(8, 8, 3), picture(1), "at least one frame"),
    (picture(1, count=3), picture(2, count=2), "one image, or one for each frame"),
    (picture(1, count=3), torch.zeros(0, 8, 8, 3), "one image, or one for each frame"),
    (picture(1), torch.zeros(8, 8), "one image, or one for each frame"),
])
def test_what_has_another_shape_is_refused(frames, reference, words):
    with pytest.raises(ValueError, match=words):
        match_colours(frames, reference)


def test_the_node_does_just_that():
    frames, reference = picture(1, count=2), picture(2)
    assert torch.equal(MatchColour.execute(frames, reference).result[0], match_colours(frames, reference))
