"""How many pages a TIFF file has, without reading them."""

import struct
from typing import IO


def count_pages(file: IO[bytes], most: int) -> int:
    """The number of pages, or `most` + 1 if there are more. Leaves the file where it was.

    Goes from page to page by their offsets alone (TIFF 6.0, section 2; BigTIFF). Raises
    struct.error or ValueError if the chain leads out of the file.
    """
    place = file.tell()
    file.seek(0)
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    # The formats of the number of tags and of an offset, and the size of a tag.
    number, offset, tag = ("Q", "Q", 20) if head[2] == 43 else ("H", "I", 12)
    (page,) = struct.unpack_from(order + offset, head, 8 if tag == 20 else 4)
    seen: set[int] = set()
    while page and page not in seen and len(seen) <= most:
        seen.add(page)
        file.seek(page)
        (tags,) = struct.unpack(order + number, file.read(struct.calcsize(number)))
        file.seek(tags * tag, 1)
        (page,) = struct.unpack(order + offset, file.read(struct.calcsize(offset)))
    file.seek(place)
    return len(seen)
