"""Draw the icons, a seal with a check mark, as PNG files (ISO/IEC 15948) for the task and the extension."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ICONS = {ROOT / "task" / "KspSign" / "icon.png": 32, ROOT / "images" / "icon.png": 128}

Colour = tuple[float, float, float]

TOP: Colour = (0.13, 0.55, 0.86)
BOTTOM: Colour = (0.05, 0.29, 0.58)
RING: Colour = (0.80, 0.91, 0.99)
WHITE: Colour = (1.0, 1.0, 1.0)
CHECK = ((-0.40, 0.03), (-0.11, 0.32), (0.42, -0.30))
PEN = 0.115
RING_FROM, RING_TO = 0.70, 0.765
SCALLOPS = 12
SAMPLES = 4


def colour_at(x: float, y: float) -> Colour | None:
    """The colour at a point of the square -1..1 (y down), or None outside the seal."""
    radius, angle = math.hypot(x, y), math.atan2(y, x)
    if radius > 0.92 + 0.05 * math.cos(SCALLOPS * angle):
        return None
    if min(_distance(x, y, *CHECK[0], *CHECK[1]), _distance(x, y, *CHECK[1], *CHECK[2])) < PEN:
        return WHITE
    if RING_FROM < radius < RING_TO:
        return RING
    share = (y + 1) / 2
    red, green, blue = (a + (b - a) * share for a, b in zip(TOP, BOTTOM, strict=True))
    return red, green, blue


def _distance(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Distance of the point (x, y) from the line between a and b."""
    dx, dy = bx - ax, by - ay
    along = max(0.0, min(1.0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)))
    return math.hypot(x - ax - along * dx, y - ay - along * dy)


def _pixel(column: int, row: int, size: int) -> bytes:
    """One pixel as RGBA, averaged over SAMPLES x SAMPLES points."""
    steps = [(index + 0.5) / SAMPLES for index in range(SAMPLES)]
    points = [colour_at((column + a) * 2 / size - 1, (row + b) * 2 / size - 1) for b in steps for a in steps]
    inside = [point for point in points if point is not None]
    if not inside:
        return bytes(4)
    means = [sum(channel) / len(inside) for channel in zip(*inside, strict=True)]
    return bytes(round(255 * value) for value in (*means, len(inside) / len(points)))


def draw(size: int) -> bytes:
    """The icon as a PNG file of `size` x `size` pixels."""
    rows = (b"\0" + b"".join(_pixel(column, row, size) for column in range(size)) for row in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    for path, pixels in ICONS.items():
        path.write_bytes(draw(pixels))
