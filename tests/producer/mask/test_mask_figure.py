"""producer.mask.figure: the image holds the mask, pixel for pixel, or there is no image."""

import io
import sys

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.image import imread

from common.errors import UsageError
from common.methods import METHODS
from producer.mask import figure
from producer.mask.figure import (
    LABELLED,
    check_png,
    drawable,
    frame_of,
    render_png,
    token_labels,
    write_png,
)
from producer.mask.picture import pack
from tests.producer.mask.maskkit import make_picture, make_pieces, shared_picture

BLUE, ORANGE, SKY, PINK = (0, 114, 178), (230, 159, 0), (86, 180, 233), (204, 121, 167)
GREY, WHITE = (230, 230, 230), (255, 255, 255)


def pixels(image):
    return (255 * imread(io.BytesIO(image))[..., :3]).round().astype(int)


def cells(picture, num_headings, num_notes):
    """The colour in the middle of every cell of the image, [T, T, 3]."""
    frame = frame_of(picture, token_labels(picture), num_headings, num_notes)
    image, count = pixels(render_png(picture)), range(len(picture.labels))
    assert image.shape[:2] == (frame.height, frame.width)
    places = [[frame.pixel(q, k) for k in count] for q in count]
    return np.array([[image[y, x] for x, y in row] for row in places])


def test_cells_have_the_colour_of_what_they_read():
    colours = cells(shared_picture((5, 3)), 3, 2)
    seen = {
        (16, 0): SKY, (6, 6): SKY, (11, 7): BLUE, (16, 11): BLUE, (14, 12): ORANGE,
        (16, 15): PINK, (12, 7): GREY, (14, 11): GREY, (0, 1): WHITE, (7, 8): WHITE,
        (11, 12): WHITE, (15, 16): WHITE,
    }  # fmt: skip
    assert {place: tuple(colours[place]) for place in seen} == seen


@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if m.has_layout])
def test_the_whole_mask_can_be_read_from_the_image(method):
    pieces = make_pieces((5, 13, 8), bos=True)
    picture = make_picture(pack(pieces, METHODS[method], "concat", "sequential", 2))
    colours = cells(picture, 3, 2)
    unseen = (colours == GREY).all(axis=2) | (colours == WHITE).all(axis=2)
    assert np.array_equal(~unseen, picture.mask)


def test_the_room_around_is_white_and_holds_text():
    picture = shared_picture((5, 3))
    image, frame = pixels(render_png(picture)), frame_of(picture, token_labels(picture), 3, 2)
    for corner in (image[:3, :3], image[-3:, -3:], image[:3, -3:], image[-3:, :3]):
        assert (corner == 255).all()
    around = {
        "labels": image[frame.top : frame.top + frame.side, : frame.left - 2],
        "names": image[frame.top : frame.top + frame.side, -frame.right + 2 :],
        "headings": image[: 3 * frame.line],
        "notes": image[-2 * frame.line :],
    }
    assert {name for name, part in around.items() if (part < 128).any()} == set(around)


def test_a_long_prompt_has_smaller_cells_and_no_labels():
    assert token_labels(shared_picture((LABELLED - 9,))) != []
    long = shared_picture((LABELLED, 150))
    assert token_labels(long) == []
    frame = frame_of(long, [])
    assert frame.cell == 1600 // len(long.labels) == 3
    assert render_png(long).startswith(b"\x89PNG")


def test_labels_of_any_script_and_of_formulas_are_drawn(recwarn):
    labels = ("$x_1$", "日本", "\\frac{", "<|im_start|>", "·⏎⇥", "🎉", "%", "{}", "^", "é", "$")
    picture = make_picture(shared_picture((5, 3)).packed, (*labels, *"abcdef"))
    assert render_png(picture).startswith(b"\x89PNG")
    assert not [w for w in recwarn if "Glyph" in str(w.message)]
    assert drawable("日🎉é⏎") == "\\u65e5\\U0001f389é⏎"


def test_the_same_picture_gives_the_same_bytes_whatever_is_set_elsewhere(monkeypatch):
    picture = shared_picture((5, 3))
    first = render_png(picture)
    with pyplot.rc_context({"figure.facecolor": "black", "axes.linewidth": 5, "font.size": 30}):
        assert render_png(picture) == first
        assert pyplot.rcParams["font.size"] == 30


def test_too_many_tokens_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(figure, "MAX_TOKENS", 16)
    with pytest.raises(UsageError, match="has 17 tokens, an image holds at most 16; ask for less"):
        write_png(shared_picture((5, 3)), tmp_path / "mask.png")
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_written_whole_or_the_old_one_stays(tmp_path, monkeypatch):
    target = tmp_path / "mask.png"
    target.write_bytes(b"the old one")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space left"):
            write_png(shared_picture((5, 3)), target)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("mask.png", b"the old one")]
    write_png(shared_picture((5, 3)), target)
    assert [p.name for p in tmp_path.iterdir()] == ["mask.png"]
    assert pixels(target.read_bytes()).ndim == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mask.jpg", "the name must end in .png"),
        ("mask", "the name must end in .png"),
        ("nowhere/mask.png", "nowhere does not exist; make it first"),
        ("folder.png", "is a folder; name a file"),
    ],
)
def test_a_path_that_cannot_be_an_image_is_refused(tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=message):
        check_png(tmp_path / name)


def test_without_matplotlib_the_person_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"matplotlib; pip install 'self-ensemble\[report\]'"):
        check_png(tmp_path / "mask.png")
