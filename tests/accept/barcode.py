"""A number in every picture, as a bar code at its bottom that survives transcoding and scaling: how it is drawn and how it is read."""

import functools

BITS = 16
BLOCKS = BITS + 4  # a frame of 1 0 … 0 1 round the bits tells a code from any other picture
STRIP = 18  # the code takes the lowest 1/18 of the picture


def drawn(width, height, number):
    """ffmpeg filters that draw the code; `number` is an expression of the frame's count `n`."""
    top = height - round(height / STRIP)
    lit = {0: "1", BLOCKS - 1: "1"}
    lit |= {2 + bit: f"eq(mod(floor(({number})/{1 << (BITS - 1 - bit)}),2),1)" for bit in range(BITS)}
    strip = f"y={top}:h={height - top}:t=fill"
    boxes = [f"drawbox=x=0:w={width}:{strip}:color=black"]
    for at, when in sorted(lit.items()):
        left, right = (round(edge * width / BLOCKS) for edge in (at, at + 1))
        boxes.append(f"drawbox=x={left}:w={right - left}:{strip}:color=white:enable='{when}'")
    return ",".join(boxes)


# The middle of the strip only, so that what scaling mixes in from above does not matter.
ROW = f"crop=iw:ih/{2 * STRIP}:0:ih-ih*3/{4 * STRIP},scale={BLOCKS}:1:flags=area,format=gray"


def number(row):
    """The number in a picture's row as `ROW` makes it; None where there is no code."""
    lit = [level > 120 for level in row]
    if (lit[0], lit[1], lit[-2], lit[-1]) != (True, False, False, True):
        return None
    return functools.reduce(lambda value, bit: value << 1 | bit, lit[2:-2], 0)
