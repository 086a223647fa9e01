"""Sprites: the subject cut out by the background that stays, and frames on a sheet."""

import pytest
import torch
from animatelcm.host.sprites import BACKGROUNDS, sheet_of, subject_mask, with_alpha
from animatelcm.nodes.sprites import SpriteSheet, SubjectMask

SIZE = 16


def clip(count=8, noise=0.0):
    """Return a bright square that moves over a background with a gradient, and where it is."""
    background = torch.linspace(0.2, 0.5, SIZE).view(1, 1, SIZE, 1).expand(count, SIZE, SIZE, 3).clone()
    frames, where = background.clone(), torch.zeros(count, SIZE, SIZE)
    for frame in range(count):
        left = frame * (SIZE - 3) // (count - 1)
        where[frame, 6:9, left:left + 3] = 1
    frames[where.bool()] = torch.tensor([0.9, 0.1, 0.2])
    shaken = noise * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    return frames + shaken, background[:1], where


@pytest.mark.parametrize("kind", ["still", "plain"])
def test_what_moves_is_the_subject(kind):
    frames, background, where = clip(noise=0.005)
    assert torch.equal(subject_mask(frames, "still", 0.1, 0.1), where)
    assert torch.equal(subject_mask(frames, kind, 0.1, 0.1, background), where)
    assert torch.equal(SubjectMask.execute(frames, "still", 0.1, 0.1).result[0], where)


def test_a_subject_on_the_spot_needs_a_plain_background_or_a_picture_of_it():
    frames, background, where = clip()
    still, where = frames[3:4].expand(8, -1, -1, -1), where[3:4].expand(8, -1, -1)
    assert not subject_mask(still, "still", 0.1, 0.1).any()
    assert torch.equal(subject_mask(still, "still", 0.1, 0.1, background), where)
    on_one_colour = torch.where(where[..., None].bool(), still, torch.tensor([0.1, 0.1, 0.3]))
    # At the edge in some frames, too.
    on_one_colour[:, :, :2] = torch.tensor([0.9, 0.1, 0.2])
    expected = where.clone()
    expected[:, :, :2] = 1
    assert torch.equal(subject_mask(on_one_colour, "plain", 0.1, 0.1), expected)
    assert torch.equal(subject_mask(on_one_colour[:1], "plain", 0.1, 0.1), expected[:1])


def test_softness_is_a_ramp_beyond_the_threshold():
    background = torch.zeros(1, 1, 5, 3)
    frames = torch.tensor([0.0, 0.1, 0.15, 0.2, 0.9]).view(1, 1, 5, 1).repeat(1, 1, 1, 3)
    soft = subject_mask(frames, "plain", 0.1, 0.1, background)
    torch.testing.assert_close(soft, torch.tensor([[[0.0, 0.0, 0.5, 1.0, 1.0]]]))
    assert subject_mask(frames, "plain", 0.12, 0.0, background).tolist() == [[[0.0, 0.0, 1.0, 1.0, 1.0]]]


@pytest.mark.parametrize(("frames", "kind", "background", "message"), [
    (2, "still", None, "a clip of 2 frames does not show its background"),
    (0, "plain", None, "images has no frames; expected at least one"),
    (3, "green", None, "background_kind is 'green'; expected one of plain, still"),
    (3, "plain", torch.zeros(1, 4, 5, 3), r"background has the shape \(1, 4, 5, 3\)"),
    (3, "plain", torch.zeros(2, 4, 4, 3), "expected one image"),
])
def test_what_shows_no_subject_is_refused(frames, kind, background, message):
    with pytest.raises(ValueError, match=message):
        SubjectMask.execute(torch.zeros(frames, 4, 4, 3), kind, 0.1, 0.1, background)


def test_the_node_offers_the_kinds_that_there_are():
    [socket] = [each for each in SubjectMask.define_schema().inputs if each.id == "background_kind"]
    assert socket.options == list(BACKGROUNDS)


@pytest.mark.parametrize(("count", "columns", "grid"), [
    (8, 0, (3, 3)), (9, 0, (3, 3)), (16, 0, (4, 4)), (1, 0, (1, 1)), (8, 4, (2, 4)), (8, 3, (3, 3)), (8, 99, (1, 8)),
    (7, 1, (7, 1))])
def test_frames_go_from_the_left_to_the_right_and_down(count, columns, grid):
    frames = torch.arange(1.0, count + 1).view(count, 1, 1, 1).expand(count, 2, 3, 4)
    sheet = sheet_of(frames, columns)
    rows, columns = grid
    assert sheet.shape == (1, rows * 2, columns * 3, 4)
    cells = sheet[0, ::2, ::3, 0].flatten().tolist()
    assert cells == [*range(1, count + 1), *[0] * (rows * columns - count)]
    assert torch.equal(sheet[0].view(rows, 2, columns, 3, 4).transpose(1, 2).flatten(0, 1)[:count], frames)


class TestAlpha:
    FRAMES = torch.full((3, 4, 4, 3), 0.5)

    def test_the_mask_is_the_alpha_and_takes_the_colours_where_it_is_0(self):
        mask = torch.zeros(3, 4, 4)
        mask[:, 1:3] = 1
        mask[1, 2] = 0.25
        frames = with_alpha(self.FRAMES, mask)
        assert torch.equal(frames[..., 3], mask)
        assert torch.equal(frames[..., :3], self.FRAMES * (mask > 0)[..., None])

    def test_one_mask_of_any_size_is_for_all(self):
        mask = torch.ones(1, 8, 8)
        mask[:, :, 4:] = 0
        assert with_alpha(self.FRAMES, mask)[..., 3].tolist() == [[[1.0, 1.0, 0.0, 0.0]] * 4] * 3

    def test_without_a_mask_frames_keep_theirs(self):
        assert with_alpha(self.FRAMES, None)[..., 3].eq(1).all()
        own = torch.cat([self.FRAMES, torch.full((3, 4, 4, 1), 0.75)], dim=-1)
        assert torch.equal(with_alpha(own, None), own)

    def test_masks_for_another_clip_are_refused(self):
        for mask in (torch.ones(2, 4, 4), torch.ones(4, 4)):
            with pytest.raises(ValueError, match="for 3 frames; expected one mask for all, or one for each frame"):
                SpriteSheet.execute(self.FRAMES, 0, mask)

    def test_no_frames_are_refused(self):
        with pytest.raises(ValueError, match="images has no frames; expected at least one"):
            SpriteSheet.execute(self.FRAMES[:0], 0)

    def test_the_node_gives_sheet_and_frames(self):
        frames, _, where = clip()
        sheet, alone = SpriteSheet.execute(frames, 4, where).result
        assert sheet.shape == (1, 2 * SIZE, 4 * SIZE, 4)
        assert torch.equal(alone[..., 3], where)
        with pytest.raises(ValueError, match="columns is -1"):
            SpriteSheet.execute(frames, -1, where)
