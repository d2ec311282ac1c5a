"""Any picture fits; what is no picture is named."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from threeworlds.studio.pictures import read_picture
from threeworlds.types import ClipSpec

SPEC = ClipSpec(height=16, width=32, fps=10)


def as_bytes(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_middle_is_kept_in_the_right_proportions(tmp_path):
    square = np.zeros((64, 64, 3), np.uint8)
    square[16:48] = (200, 100, 50)
    Image.fromarray(square).save(tmp_path / "a.png")
    frame = read_picture(tmp_path / "a.png", SPEC)
    assert (frame.shape, frame.dtype) == ((16, 32, 3), np.uint8)
    assert (frame == (200, 100, 50)).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1", "LA"])
def test_every_kind_of_picture_is_read(mode):
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    assert read_picture(as_bytes(Image.new(mode, (5, 3)), kind), SPEC).shape == (16, 32, 3)


def test_transparent_is_black_and_a_turned_photograph_is_turned_back():
    clear = Image.new("RGBA", (32, 16), (255, 255, 255, 0))
    assert (read_picture(as_bytes(clear), SPEC) == 0).all()
    upright = Image.new("RGB", (32, 64))
    upright.paste((250, 250, 250), (0, 0, 16, 64))
    tags = Image.Exif()
    tags[0x0112] = 6  # held a quarter turn to the right
    frame = read_picture(as_bytes(upright, "JPEG", exif=tags, quality=95), SPEC)
    assert frame[0].mean() > 200 > 50 > frame[-1].mean()  # its left side is now on top


@pytest.mark.parametrize("data", [b"", b"no picture", as_bytes(Image.effect_noise((64, 64), 80))[:600]])
def test_what_cannot_be_read_is_said(data, tmp_path):
    with pytest.raises(ValueError, match="picture"):
        read_picture(data, SPEC)
    (tmp_path / "broken.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"broken\.png"):
        read_picture(tmp_path / "broken.png", SPEC)
