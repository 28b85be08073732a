"""Meaning of the 478 points of MediaPipe's face mesh: mirror images, parts, dlib's 68 points.

Left and right are those of the image: the image's left eye is the person's right one.
"""

from __future__ import annotations

from emorec_tf.config.schema import MESH_POINTS

# The points on the face's middle line. All others come in pairs: the mesh numbers the image's left
# side first, then the right side in the same order, then either iris. Found on 3,190 faces by
# nearest neighbours after mirroring; the mesh's own triangles agree (see the tests).
MIDDLE = (
    *(0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
    *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200),
)
FIRST_OF_RIGHT, FIRST_OF_IRISES = 248, 468


def mirrored() -> tuple[int, ...]:
    """For each point, the one that takes its place in the mirrored face."""
    left = [point for point in range(FIRST_OF_RIGHT) if point not in MIDDLE]
    pairs = list(zip(left, range(FIRST_OF_RIGHT, FIRST_OF_IRISES), strict=True))
    # An iris is its centre, then the rim from the image's right over the top to the left.
    pairs += [(468, 473), (469, 476), (470, 475), (471, 474), (472, 477)]
    image = list(range(MESH_POINTS))
    for one, other in pairs:
        image[one], image[other] = other, one
    return tuple(image)


MIRRORED = mirrored()

# outer and inner corner
LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (263, 362)

# The parts that move with expression, as MediaPipe outlines them.
LEFT_PARTS = {
    "eye": (7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246),
    "brow": (46, 52, 53, 55, 63, 65, 66, 70, 105, 107),
}
LIPS = (
    *(0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191),
    *(267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415),
)
PARTS = {
    "lips": LIPS,
    **{f"left {part}": points for part, points in LEFT_PARTS.items()},
    **{f"right {part}": tuple(MIRRORED[p] for p in points) for part, points in LEFT_PARTS.items()},
}

# Place in iBUG's 68-point layout, which dlib counts from 0 -> point of the mesh.
DLIB_68 = (
    # 0-16 jaw, from the image's left ear over the chin (8) to the right ear
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    # 17-21 left brow, outer to inner end; 22-26 right brow, inner to outer end
    *(70, 63, 105, 66, 107),
    *(336, 296, 334, 293, 300),
    # 27-30 ridge of the nose downwards; 31-35 below the nostrils, left to right (33 the middle)
    *(168, 197, 5, 4),
    *(75, 97, 2, 326, 305),
    # 36-41 left eye, clockwise from its outer corner; 42-47 right eye, from its inner corner
    *(33, 160, 158, 133, 153, 144),
    *(362, 385, 387, 263, 373, 380),
    # 48-59 outer lip, clockwise from the left corner (51 and 57 the middle); 60-67 inner lip
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
