"""Any picture as the first frame of a dream."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from threeworlds.types import ClipSpec


def read_picture(source: Path | bytes, spec: ClipSpec) -> np.ndarray:
    """A picture file, or its bytes, as a frame of ``spec``: uint8 [h, w, 3].

    The middle is kept, in the spec's proportions; turned as its camera says; what is transparent becomes black.

    Raises:
        ValueError: it is not a picture, or one cut off.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = source if isinstance(source, Path) else "the picture"
    try:
        with Image.open(source if isinstance(source, Path) else BytesIO(source)) as opened:
            turned = ImageOps.exif_transpose(opened).convert("RGBA")
    except FileNotFoundError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not a picture of a known kind") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what its decoders raise
        raise ValueError(f"{name} cannot be read as a picture: {error}") from error
    flat = Image.alpha_composite(Image.new("RGBA", turned.size, "black"), turned).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (spec.width, spec.height), Image.Resampling.BOX)).copy()
