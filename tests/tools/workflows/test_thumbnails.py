"""The pictures of example workflows: square, moving, of the clips that they are said to be of."""

import pytest
from animatelcm.tools.workflows import gallery
from animatelcm.tools.workflows.thumbnails import SIDE, before_and_after, read_frames, save_thumbnail
from PIL import Image


def clip(colours, size=(48, 32)):
    return [Image.new("RGB", size, colour) for colour in colours]


def test_a_thumbnail_is_a_square_webp_that_plays_for_ever_whatever_its_name(tmp_path):
    file = tmp_path / "01 Text to Video.jpg"
    save_thumbnail(clip(("red", "blue", "green")), file)
    with Image.open(file) as image:
        assert (image.format, image.size, image.n_frames, image.info["loop"]) == ("WEBP", (SIDE, SIDE), 3, 0)


def test_its_middle_is_that_of_the_frame(tmp_path):
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste("blue", (100, 0, 200, 100))
    save_thumbnail([wide, Image.new("RGB", (300, 100), "white")], tmp_path / "one.webp")
    first = read_frames(tmp_path / "one.webp")[0]
    red, _, blue = first.getpixel((4, SIDE // 2))
    assert first.size == (SIDE, SIDE) and blue > 200 and red < 60


def test_a_still_is_refused(tmp_path):
    with pytest.raises(ValueError, match="would not move"):
        save_thumbnail(clip(("red", "red")), tmp_path / "still.jpg")


def test_transparent_frames_are_put_on_white(tmp_path):
    frames = [Image.new("RGBA", (16, 16), (255, 0, 0, alpha)) for alpha in (255, 0)]
    frames[0].save(tmp_path / "sprite.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert [frame.getpixel((8, 8)) for frame in read_frames(tmp_path / "sprite.webp")] == [
        (255, 0, 0), (255, 255, 255)]


def test_before_is_left_and_after_right():
    [both] = before_and_after(clip(("red",)), clip(("blue",)))
    assert both.getpixel((5, 5)) == (255, 0, 0) and both.getpixel((40, 5)) == (0, 0, 255)


def test_what_a_thumbnail_is_made_of_runs_before_it():
    order = gallery.order_of(["01 Text to Video", "19 Train Spatial LoRA Demo"])
    assert order == ["03 Text to Video Demo", "19 Train Spatial LoRA Demo", "20 Train Motion Module Demo",
                     "21 Sample Trained Files Demo", "01 Text to Video"]


def test_every_example_has_a_source_of_its_thumbnail():
    names = {path.stem for path in gallery.EXAMPLES.glob("*.json")}
    assert {*gallery.SAME_GRAPH, *gallery.SAME_GRAPH.values(), *gallery.STAGES, gallery.TRAINED} <= names
    real = {name for name in names
            if gallery.DEMO_NODE not in (gallery.EXAMPLES / f"{name}.json").read_text(encoding="utf-8")}
    assert real == gallery.SAME_GRAPH.keys()
    assert {name for name in names if " Train " in name} == gallery.STAGES.keys()
