"""Points of the curve P-256, as far as a signature is verified with them.

Nothing here is secret, so the time that it takes may depend on the numbers: this is no code
to sign with. Points that are added up have Jacobian coordinates: (X, Y, Z) is
(X / Z**2, Y / Z**3), and Z is 0 at infinity.

Source  SEC 1, 2.2.1 and 2.3.4; SEC 2, 2.4.2; Explicit-Formulas Database, dbl-2001-b
"""

from __future__ import annotations

from functools import cache

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_WINDOW = 4  # bits that one step of `weighted` takes

Point = tuple[int, int]
Table = tuple[Point, ...]  # 1 to 15 times a point
_Sum = tuple[int, int, int]
_INFINITY = (0, 1, 0)


def is_on_curve(x: int, y: int) -> bool:
    """Return whether it is a point. The cofactor is 1: each one has the order of the curve."""
    return 0 <= x < P and 0 <= y < P and (y * y - x * x * x + 3 * x - _B) % P == 0


def _double(point: _Sum) -> _Sum:
    x, y, z = point
    delta, gamma = z * z % P, y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    y3 = (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P
    return x3, y3, 2 * y * z % P


def _add(a: _Sum, b: Point) -> _Sum:
    x1, y1, z1 = a
    if z1 == 0:
        return b[0], b[1], 1
    z2 = z1 * z1 % P
    h = (b[0] * z2 - x1) % P
    r = (b[1] * z1 * z2 - y1) % P
    if h == 0:
        return _double(a) if r == 0 else _INFINITY
    h2 = h * h % P
    h3 = h * h2 % P
    v = x1 * h2 % P
    x3 = (r * r - h3 - 2 * v) % P
    return x3, (r * (v - x3) - y1 * h3) % P, z1 * h % P


def _affine(point: _Sum) -> Point:
    x, y, z = point
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


def table(point: Point) -> Table:
    """Return the multiples of the point that :func:`weighted` needs."""
    multiples, total = [point], (*point, 1)
    for _ in range(2, 1 << _WINDOW):
        total = _add(total, point)
        multiples.append(_affine(total))
    return tuple(multiples)


@cache
def _of_generator() -> Table:
    return table(GENERATOR)


def weighted(a: int, b: int, of_point: Table) -> int | None:
    """Return the x of a times the generator and b times a point; None at infinity.

    a, b     0 to 2**256 - 1
    of_point the table of the point
    """
    of_generator = _of_generator()
    total = _INFINITY
    for shift in range(256 - _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = _double(total)
        for number, multiples in ((a, of_generator), (b, of_point)):
            digit = number >> shift & (1 << _WINDOW) - 1
            if digit:
                total = _add(total, multiples[digit - 1])
    return None if total[2] == 0 else _affine(total)[0]
