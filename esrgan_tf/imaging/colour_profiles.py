"""ICC profiles: checks, and profiles computed from the colour chunks of PNG, AVIF and HEIC."""

import struct
from collections.abc import Sequence

import numpy as np

SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x and y of white, red, green, blue
# By the code points of ITU-T H.273, which cICP and nclx contain.
_PRIMARIES = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # "unspecified"
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
# `(g, a, b, c, d)`: `(a x + b)^g` from `d`, and `c x` below; or `(g,)`.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = {
    1: _VIDEO_CURVE, 2: _SRGB_CURVE, 4: (2.2,), 5: (2.8,), 6: _VIDEO_CURVE, 8: (1.0,), 13: _SRGB_CURVE,
    14: _VIDEO_CURVE, 15: _VIDEO_CURVE,
}  # fmt: skip
_SPACES = {b"GRAY": "gray", b"RGB ": "RGB", b"CMYK": "CMYK", b"Lab ": "Lab"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def find_fault(profile: bytes, colours: int) -> str | None:
    """Why a result of 1 or 3 colour channels cannot have a profile; None if it can."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return "it is no ICC profile" if profile[36:40] != b"acsp" else "it is cut short"
    claimed, version = int.from_bytes(profile[:4], "big"), profile[8]
    if claimed > len(profile):
        return f"it claims {claimed} bytes and has {len(profile)}"
    if version not in (2, 4):
        return f"its version, {version}, is unknown"
    number = int.from_bytes(profile[128:132], "big")
    tags = [struct.unpack_from(">4sII", profile, at) for at in range(132, min(132 + 12 * number, claimed - 11), 12)]
    if len(tags) < number or any(at + size > claimed for _, at, size in tags):
        return "it is damaged"
    space = bytes(profile[16:20])
    if space != {1: b"GRAY", 3: b"RGB "}[colours]:
        name = _SPACES.get(space, space.decode("latin-1").strip())
        return f"it is for {name}, and the result is {'gray' if colours == 1 else 'RGB'}"
    return None


def trim_padding(profile: bytes) -> bytes:
    """Removes the bytes after the end of a profile, which some programs add."""
    claimed = int.from_bytes(profile[:4], "big")
    return profile[:claimed] if 128 < claimed < len(profile) else profile


def profile_from_gamma(gamma: float | None, primaries: Sequence[float] | None, colours: int) -> bytes | None:
    """Computes a profile from PNG's gAMA and cHRM; None if these are the values of sRGB.

    Args:
        gamma: as in gAMA, 0.45455 for a display gamma of 2.2; None is the curve of sRGB.
        primaries: x and y of white, red, green and blue; None is the primaries of sRGB.
    """
    usual_curve = gamma is None or abs(gamma - 1 / 2.2) < 0.005
    usual_primaries = primaries is None or all(
        abs(a - b) < 0.002 for a, b in zip(primaries, SRGB_PRIMARIES, strict=True)
    )
    if usual_curve and (usual_primaries or colours == 1):
        return None
    curve = _SRGB_CURVE if gamma is None else (1 / gamma,)
    return _encode_profile(curve, SRGB_PRIMARIES if primaries is None else primaries, colours)


def is_srgb(code: Sequence[int]) -> bool:
    """Whether the first two numbers of cICP mean sRGB or unspecified colours."""
    return code[0] in (1, 2) and code[1] in (2, 13)


def profile_from_cicp(code: Sequence[int], colours: int) -> bytes | None:
    """Computes a profile from cICP; None for colours that a matrix profile cannot describe, such as HDR."""
    primaries, curve = _PRIMARIES.get(code[0]), _CURVES.get(code[1])
    if primaries is None or curve is None:
        return None
    return _encode_profile(curve, primaries, colours)


def is_plausible(primaries: Sequence[float]) -> bool:
    """Whether a matrix can be computed from chromaticities."""
    return all(0 <= x <= 1 and 0 < y <= 1 for x, y in zip(primaries[::2], primaries[1::2], strict=True)) and bool(
        abs(np.linalg.det(_xyz_columns(primaries[2:]))) > 1e-4
    )


def _xyz_columns(chromaticities):
    return np.array(
        [[x / y, 1, (1 - x - y) / y] for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    ).T


def _encode_profile(curve, primaries, colours):
    """A profile of version 4.3; its colours are adapted to a D50 white, as ICC requires."""
    white = _xyz_columns(primaries[:2])[:, 0]
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adaptation = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD
    columns = _xyz_columns(primaries[2:])
    matrix = adaptation @ (columns * np.linalg.solve(columns, white))
    curve_tag = b"para" + bytes(4) + struct.pack(">HH", {1: 0, 5: 3}[len(curve)], 0) + _encode_fixed(curve)
    tags = {
        b"desc": _encode_text("Colours of the original"),
        b"cprt": _encode_text("No copyright"),
        b"wtpt": _encode_xyz(_D50),
    }
    if colours == 1:
        tags[b"kTRC"] = curve_tag
    else:
        tags |= {b"chad": b"sf32" + bytes(4) + _encode_fixed(adaptation.ravel())}
        tags |= {name + b"XYZ": _encode_xyz(column) for name, column in zip((b"r", b"g", b"b"), matrix.T, strict=True)}
        tags |= {name + b"TRC": curve_tag for name in (b"r", b"g", b"b")}
    table, data = b"", b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sIII8sI12s", 132 + len(table) + len(data), b"", 0x04300000, b"mntr",
        b"GRAY" if colours == 1 else b"RGB ", b"XYZ ", struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", b"", 0, 0, 0,
        b"", 0, _encode_fixed(_D50),
    )  # fmt: skip
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _encode_fixed(numbers):
    return b"".join(struct.pack(">i", round(float(number) * 65536)) for number in numbers)


def _encode_xyz(numbers):
    return b"XYZ " + bytes(4) + _encode_fixed(numbers)


def _encode_text(text):
    return (
        b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(text), 28) + text.encode("utf-16-be")
    )
