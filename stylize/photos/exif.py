"""Edits an EXIF block in place (EXIF 2.3, section 4; TIFF 6.0, section 2).

Overwrites numbers and cuts pointers; everything else keeps its bytes and its position. Rewriting
the block would lose non-ASCII text and break maker notes, which hold offsets.
"""

import struct

EXIF_IFD, GPS_IFD = 0x8769, 0x8825  # tags that point to further directories
ORIENTATION, WIDTH, HEIGHT = 0x0112, 0x0100, 0x0101
COLOR_SPACE, PIXEL_WIDTH, PIXEL_HEIGHT = 0xA001, 0xA002, 0xA003  # of the EXIF directory
THUMBNAIL, THUMBNAIL_BYTES = 0x0201, 0x0202
SRGB, UNCALIBRATED = 1, 0xFFFF  # values of COLOR_SPACE
PREFIX = b"Exif\0\0"
ENTRY = 12  # bytes
# Type -> bytes per value.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SHORT, LONG = 3, 4


def clean(block: bytes, *, gps: bool) -> bytes:
    """`block` for an upright sRGB picture, without thumbnail and, unless `gps`, without location.

    Raises ValueError: not an EXIF block, or damaged.
    """
    tiff = _Tiff(block)
    main = tiff.entries(tiff.first)
    if ORIENTATION in main:
        tiff.write(main[ORIENTATION], SHORT, 1)
    if EXIF_IFD in main:
        directory = tiff.value(main[EXIF_IFD])
        if not gps:
            tiff.forget_place(directory)
        details = tiff.entries(directory)
        if COLOR_SPACE in details and tiff.value(details[COLOR_SPACE]) == UNCALIBRATED:
            tiff.write(details[COLOR_SPACE], SHORT, SRGB)
    thumbnail = tiff.cut_next(tiff.first)
    if thumbnail:
        tiff.blank(thumbnail)
    if not gps:
        tiff.forget_place(tiff.first)
    cleaned = PREFIX + bytes(tiff.data)
    with_size(cleaned, 1, 1)  # fails if blanking has hit a damaged block itself
    return cleaned


def with_size(block: bytes, width: int, height: int) -> bytes:
    """`block`, already cleaned, with its dimensions set to these."""
    tiff = _Tiff(block)
    main = tiff.entries(tiff.first)
    details = tiff.entries(tiff.value(main[EXIF_IFD])) if EXIF_IFD in main else {}
    for places, tag, value in (
        (main, WIDTH, width),
        (main, HEIGHT, height),
        (details, PIXEL_WIDTH, width),
        (details, PIXEL_HEIGHT, height),
    ):
        if tag in places:
            tiff.write(places[tag], LONG, value)
    return PREFIX + bytes(tiff.data)


def without_orientation(block: bytes) -> bytes:
    """`block` without the orientation tag, which means upright."""
    tiff = _Tiff(block)
    if ORIENTATION in tiff.entries(tiff.first):
        tiff.remove(tiff.first, ORIENTATION)
    return PREFIX + bytes(tiff.data)


class _Tiff:
    """The directories of a TIFF structure. All methods raise ValueError beyond its end."""

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(block.removeprefix(PREFIX))
        self._order = {b"II": "<", b"MM": ">"}.get(bytes(self.data[:2]), "")
        if not self._order or self._read("H", 2) != 42:
            raise ValueError("not a TIFF structure")
        self.first: int = self._read("I", 4)

    def entries(self, directory: int) -> dict[int, int]:
        """Tag -> position of its entry."""
        places = range(directory + 2, directory + 2 + self._length(directory), ENTRY)
        return {self._read("H", place): place for place in places}

    def value(self, entry: int) -> int:
        """The number in an entry that holds one number."""
        return self._read("H" if self._read("H", entry + 2) == SHORT else "I", entry + 8)

    def write(self, entry: int, kind: int, value: int) -> None:
        """Make the entry a single SHORT or LONG."""
        layout = "HIHxx" if kind == SHORT else "HII"
        packed = struct.pack(self._order + layout, kind, 1, value)
        self.data[entry + 2 : entry + ENTRY] = packed

    def remove(self, directory: int, tag: int) -> None:
        """Remove an entry; later ones move up."""
        entry = self.entries(directory)[tag]
        count = self._read("H", directory)
        end = directory + 2 + ENTRY * count + 4
        self.data[entry:end] = self.data[entry + ENTRY : end] + bytes(ENTRY)
        self.data[directory : directory + 2] = struct.pack(self._order + "H", count - 1)

    def forget_place(self, directory: int) -> None:
        """Blank and remove every GPS directory that this one points to."""
        while GPS_IFD in (entries := self.entries(directory)):
            self.blank(self.value(entries[GPS_IFD]))
            if GPS_IFD in self.entries(directory):
                self.remove(directory, GPS_IFD)

    def cut_next(self, directory: int) -> int:
        """Unlink the directory after this one; returns its position, or 0."""
        place = directory + 2 + self._length(directory)
        following = self._read("I", place)
        self.data[place : place + 4] = bytes(4)
        return following

    def blank(self, directory: int) -> None:
        """Overwrite a directory, everything its entries point to, and a thumbnail with zeros."""
        entries = self.entries(directory)
        place = GPS_IFD in entries and self.value(entries[GPS_IFD])
        for entry in entries.values():
            size = _BYTES.get(self._read("H", entry + 2), 0) * self._read("I", entry + 4)
            if size > 4:
                self._zero(self._read("I", entry + 8), size)
        if THUMBNAIL in entries and THUMBNAIL_BYTES in entries:
            self._zero(self.value(entries[THUMBNAIL]), self.value(entries[THUMBNAIL_BYTES]))
        self._zero(directory, 2 + self._length(directory) + 4)
        if place:
            self.blank(place)

    def _length(self, directory: int) -> int:
        length = ENTRY * self._read("H", directory)
        if directory + 2 + length + 4 > len(self.data):
            raise ValueError("a directory beyond the end")
        return length

    def _zero(self, start: int, size: int) -> None:
        if start + size > len(self.data):
            raise ValueError("a value beyond the end")
        self.data[start : start + size] = bytes(size)

    def _read(self, kind: str, place: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + kind, self.data, place)
        except struct.error as error:
            raise ValueError("a number beyond the end") from error
        return int(value)
