# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernels that enumerate the reflections of a rotation scan."""

import math

import numpy as np

from mxdask._jit import jit


@jit
def _absent(h, k, l, centring):
    """Whether lattice centring forbids h k l. Rows of ``centring`` are translations in twelfths."""
    for i in range(centring.shape[0]):
        if (h * centring[i, 0] + k * centring[i, 1] + l * centring[i, 2]) % 12 != 0:
            return True
    return False


@jit
def indices_in_sphere(A, d_min, centring, limits):
    """All h k l ≠ 0 with |A·h| ≤ 1/d_min that lattice centring allows.

    A : (3, 3) Å⁻¹; limits : (3,) largest |h|, |k|, |l|. Returns (n, 3) i4, ordered by h, k, l.
    """
    q2_max = 1.0 / (d_min * d_min)
    n = 0
    capacity = 1024
    out = np.empty((capacity, 3), np.int32)
    for h in range(-limits[0], limits[0] + 1):
        for k in range(-limits[1], limits[1] + 1):
            x0 = A[0, 0] * h + A[0, 1] * k
            y0 = A[1, 0] * h + A[1, 1] * k
            z0 = A[2, 0] * h + A[2, 1] * k
            for l in range(-limits[2], limits[2] + 1):
                x = x0 + A[0, 2] * l
                y = y0 + A[1, 2] * l
                z = z0 + A[2, 2] * l
                q2 = x * x + y * y + z * z
                if q2 > q2_max or q2 == 0.0 or _absent(h, k, l, centring):
                    continue
                if n == capacity:
                    capacity *= 2
                    bigger = np.empty((capacity, 3), np.int32)
                    bigger[:n] = out
                    out = bigger
                out[n, 0] = h
                out[n, 1] = k
                out[n, 2] = l
                n += 1
    return out[:n]


@jit
def _misses(X, Y, Z, amplitude, slack, cosine, sine, half):
    """Whether |X + Y cos φ + Z sin φ| stays above ``slack`` within ``half`` of the angle with this cosine and sine.

    The slope is nowhere above the amplitude. Saves the angles of most points where the scan is a narrow wedge.
    """
    return abs(X + Y * cosine + Z * sine) > slack + 1.0001 * amplitude * half


@jit
def static_crossings(indices, A, s0, axis, phi_a, phi_b):
    """Angles at which the lattice points h pass through the Ewald sphere.

    With r = A·h at φ = 0, the condition 2 s0·R(φ)r + r² = 0 is X + Y cos φ + Z sin φ = 0 for
    X = r²/2 + (s0·m)(r·m), Y = s0·r − (s0·m)(r·m), Z = s0·(m×r).

    Returns (row of indices, φ) of every solution with phi_a ≤ φ ≤ phi_b (whole turns included), in row order.
    """
    two_pi = 2.0 * math.pi
    turns = 2 * (int((phi_b - phi_a) / two_pi) + 2)
    cosine, sine = math.cos(0.5 * (phi_a + phi_b)), math.sin(0.5 * (phi_a + phi_b))
    half_scan = 0.5 * (phi_b - phi_a) + 1e-6
    capacity = 1024
    rows = np.empty(capacity, np.int64)
    phis = np.empty(capacity, np.float64)
    n = 0
    s0m = s0[0] * axis[0] + s0[1] * axis[1] + s0[2] * axis[2]
    for row in range(indices.shape[0]):
        X, Y, Z = _phase(indices, row, A, s0, axis, s0m)
        amplitude = math.sqrt(Y * Y + Z * Z)
        if amplitude == 0.0 or abs(X) > amplitude or _misses(X, Y, Z, amplitude, 0.0, cosine, sine, half_scan):
            continue
        centre = math.atan2(Z, Y)
        half = math.acos(-X / amplitude)
        for side in range(2):
            phi = centre - half if side == 0 else centre + half
            phi += two_pi * math.ceil((phi_a - phi) / two_pi)
            while phi <= phi_b:
                if n + turns > capacity:
                    capacity *= 2
                    rows_new = np.empty(capacity, np.int64)
                    phis_new = np.empty(capacity, np.float64)
                    rows_new[:n] = rows[:n]
                    phis_new[:n] = phis[:n]
                    rows = rows_new
                    phis = phis_new
                rows[n] = row
                phis[n] = phi
                n += 1
                phi += two_pi
    return rows[:n], phis[:n]


@jit
def _phase(indices, row, A, s0, axis, s0m):
    h, k, l = indices[row, 0], indices[row, 1], indices[row, 2]
    x = A[0, 0] * h + A[0, 1] * k + A[0, 2] * l
    y = A[1, 0] * h + A[1, 1] * k + A[1, 2] * l
    z = A[2, 0] * h + A[2, 1] * k + A[2, 2] * l
    rm = x * axis[0] + y * axis[1] + z * axis[2]
    X = 0.5 * (x * x + y * y + z * z) + s0m * rm
    Y = s0[0] * x + s0[1] * y + s0[2] * z - s0m * rm
    Z = s0[0] * (axis[1] * z - axis[2] * y) + s0[1] * (axis[2] * x - axis[0] * z) + s0[2] * (axis[0] * y - axis[1] * x)
    return X, Y, Z


@jit
def _append(row, frame, alpha, rows, frames, alphas, n):
    if n == len(rows):
        rows_new = np.empty(2 * n, np.int64)
        frames_new = np.empty(2 * n, np.int64)
        alphas_new = np.empty(2 * n, np.float64)
        rows_new[:n] = rows
        frames_new[:n] = frames
        alphas_new[:n] = alphas
        rows, frames, alphas = rows_new, frames_new, alphas_new
    rows[n] = row
    frames[n] = frame
    alphas[n] = alpha
    return rows, frames, alphas


@jit
def varying_crossings(indices, A, s0, axis, epsilon, delta_s0, phi_0, width, setting, beams, q2_max):
    """Crossings of the Ewald sphere with models that change from image to image (back.md 4, scan-varying).

    A, s0, axis : static models, whose crossings tell which images can hold the real ones: with every setting matrix
        within a relative ``epsilon`` of A, and every beam within ``delta_s0`` (Å⁻¹) of s0, the phase condition of
        :func:`static_crossings` moves by no more than ε|r|(|r| + |s0|) + δ|r|, which bounds the band of φ to search.
    phi_0, width : radians at boundary 0 and per image. setting : (n_images + 1, 3, 3) h → lab at each boundary.
    beams : (n_images + 1, 3).

    Returns (row, image, fraction α of the image at which the point crosses), ordered by row and image.
    """
    n_images = setting.shape[0] - 1
    rows = np.empty(1024, np.int64)
    frames = np.empty(1024, np.int64)
    alphas = np.empty(1024, np.float64)
    n = 0
    two_pi = 2.0 * math.pi
    s0m = s0[0] * axis[0] + s0[1] * axis[1] + s0[2] * axis[2]
    s0_length = math.sqrt(s0[0] * s0[0] + s0[1] * s0[1] + s0[2] * s0[2])
    end = phi_0 + n_images * width
    low, high = min(phi_0, end), max(phi_0, end)
    cosine, sine = math.cos(0.5 * (low + high)), math.sin(0.5 * (low + high))
    half_scan = 0.5 * (high - low) + 3.0 * abs(width)  # bands are searched one image beyond their ends
    for row in range(indices.shape[0]):
        X, Y, Z = _phase(indices, row, A, s0, axis, s0m)
        amplitude = math.sqrt(Y * Y + Z * Z)
        h, k, l = indices[row, 0], indices[row, 1], indices[row, 2]
        q = 0.0
        for i in range(3):
            component = A[i, 0] * h + A[i, 1] * k + A[i, 2] * l
            q += component * component
        q = math.sqrt(q)
        slack = epsilon * q * (q + s0_length) + delta_s0 * q
        if amplitude == 0.0 or abs(X) > amplitude + slack:
            continue
        if _misses(X, Y, Z, amplitude, slack, cosine, sine, half_scan):
            continue
        centre = math.atan2(Z, Y)
        near = math.acos(min(1.0, max(-1.0, (-X + slack) / amplitude)))
        far = math.acos(min(1.0, max(-1.0, (-X - slack) / amplitude)))
        for side in range(2):
            # the bands may touch (at 0 or at π); an image found twice is dropped
            a = centre - far if side == 0 else centre + near
            b = centre - near if side == 0 else centre + far
            shift = two_pi * math.ceil((low - b) / two_pi)
            a += shift
            b += shift
            while a <= high:
                if width > 0:
                    first = math.floor((a - phi_0) / width) - 1
                    last = math.floor((b - phi_0) / width) + 1
                else:
                    first = math.floor((b - phi_0) / width) - 1
                    last = math.floor((a - phi_0) / width) + 1
                for frame in range(max(first, 0), min(last, n_images - 1) + 1):
                    alpha = _crossing_in_image(h, k, l, setting, beams, frame, q2_max)
                    if alpha >= 0.0 and not (_seen(rows, frames, n, row, frame)):
                        rows, frames, alphas = _append(row, frame, alpha, rows, frames, alphas, n)
                        n += 1
                a += two_pi
                b += two_pi
    return rows[:n], frames[:n], alphas[:n]


@jit
def _seen(rows, frames, n, row, frame):
    i = n - 1
    while i >= 0 and rows[i] == row:
        if frames[i] == frame:
            return True
        i -= 1
    return False


@jit
def _crossing_in_image(h, k, l, setting, beams, frame, q2_max):
    """Fraction of image ``frame`` at which the point crosses the sphere, or -1.

    The path inside an image is the straight line r1 → r2 (and s1 → s2 for the beam): a quadratic equation in α.
    """
    q2 = 0.0
    step2 = 0.0
    g1 = 0.0
    g2 = 0.0
    linear = 0.0
    for i in range(3):
        r1 = setting[frame, i, 0] * h + setting[frame, i, 1] * k + setting[frame, i, 2] * l
        r2 = setting[frame + 1, i, 0] * h + setting[frame + 1, i, 1] * k + setting[frame + 1, i, 2] * l
        s1 = beams[frame, i]
        s2 = beams[frame + 1, i]
        step = r2 - r1
        ds = s2 - s1
        q2 += r1 * r1
        g1 += r1 * (r1 + 2.0 * s1)
        g2 += r2 * (r2 + 2.0 * s2)
        # |r1 + α Δr|² + 2 (s1 + α Δs)·(r1 + α Δr) = g1 + linear α + step2 α²
        linear += 2.0 * step * (s1 + r1) + 2.0 * ds * r1
        step2 += step * step + 2.0 * ds * step
    if q2 > q2_max or (g1 >= 0.0) == (g2 >= 0.0):
        return -1.0
    if step2 == 0.0:
        return -g1 / linear
    discriminant = linear * linear - 4.0 * step2 * g1
    if discriminant < 0.0:
        return -1.0
    # the form without cancellation; exactly one root lies in [0, 1] because the sign changes
    t = -0.5 * (linear + math.copysign(math.sqrt(discriminant), linear))
    first = t / step2
    second = g1 / t if t != 0.0 else first
    return second if 0.0 <= second <= 1.0 else first
