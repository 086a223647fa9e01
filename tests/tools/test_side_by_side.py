"""Clips beside one another: all of them, in their order, as long as the shortest."""

from animatelcm.tools.side_by_side import LINE, animate
from PIL import Image


def clip(colour, frames, size=(40, 30)):
    return [Image.new("RGB", size, colour if number % 2 else "white") for number in range(frames)]


def test_clips_play_beside_and_below_one_another(tmp_path):
    animate([{"one": clip("red", 4), "two": clip("blue", 6)}, {"three": clip("lime", 5)}], tmp_path / "both.webp")
    with Image.open(tmp_path / "both.webp") as picture:
        assert (picture.size, picture.n_frames, picture.info["loop"]) == ((80, 2 * (30 + LINE)), 4, 0)
        picture.seek(1)
        shown = picture.convert("RGB")
    seen = [shown.getpixel(place) for place in ((20, LINE + 15), (60, LINE + 15), (20, 2 * LINE + 45),
                                               (60, 2 * LINE + 45))]
    wanted = [(255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)]
    for one, other in zip(seen, wanted, strict=True):
        assert all(abs(a - b) < 40 for a, b in zip(one, other, strict=True)), seen
    # The names are above the clips, not over them.
    assert any(shown.getpixel((x, y)) != (255, 255, 255) for x in range(40) for y in range(LINE))
