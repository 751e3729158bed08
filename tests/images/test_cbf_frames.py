"""CBF images: the kernel against plain Python, the files against fabio."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import FileError
from mxdask.images import open_stack
from mxdask.images.cbf_frames import decode
from mxdask.images.cbf_kernels import decode_byte_offset
from mxdask.importing.headers import read_image_header
from mxdask.models import Experiment, ImageSet


def pack_byte_offset(values: list[int]) -> bytes:
    """CBFlib's byte-offset packing, spelt out."""
    out, last = b"", 0
    for value in values:
        delta, last = value - last, value
        if -128 < delta < 128:
            out += delta.to_bytes(1, "little", signed=True)
        elif -32768 < delta < 32768:
            out += b"\x80" + delta.to_bytes(2, "little", signed=True)
        elif -(2**31) < delta < 2**31:
            out += b"\x80\x00\x80" + delta.to_bytes(4, "little", signed=True)
        else:
            out += b"\x80\x00\x80\x00\x00\x00\x80" + delta.to_bytes(8, "little", signed=True)
    return out


def cbf_bytes(image: np.ndarray, packed: bytes | None = None) -> bytes:
    packed = pack_byte_offset(image.ravel().tolist()) if packed is None else packed
    slow, fast = image.shape
    header = (
        "###CBF: VERSION 1.5\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        f"X-Binary-Size: {len(packed)}\r\n"
        'X-Binary-Element-Type: "signed 32-bit integer"\r\nX-Binary-Element-Byte-Order: LITTLE_ENDIAN\r\n'
        f"X-Binary-Size-Fastest-Dimension: {fast}\r\nX-Binary-Size-Second-Dimension: {slow}\r\n\r\n"
    )
    return header.encode() + b"\x0c\x1a\x04\xd5" + packed + b"\0" * 40


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-300, 300), min_size=1, max_size=60))
def test_kernel_undoes_packing(values: list[int]) -> None:
    packed = np.frombuffer(pack_byte_offset(values), dtype=np.uint8)
    out = np.empty(len(values), dtype=np.int32)
    assert decode_byte_offset(packed, out) == len(values)
    assert out.tolist() == values
    assert decode_byte_offset(packed[:-1], out) < len(values)


def test_plain_and_zipped_are_the_same(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.int32).reshape(3, 4) * 1000 - 1
    content = cbf_bytes(image)
    assert np.array_equal(decode(content, "x", np.empty((3, 4), np.int32)), image)
    (tmp_path / "a.cbf").write_bytes(content)
    (tmp_path / "a.cbf.gz").write_bytes(gzip.compress(content))
    (tmp_path / "a.cbf.xz").write_bytes(lzma.compress(content))
    (tmp_path / "a.cbf.bz2").write_bytes(bz2.compress(content))
    from mxdask.io.compressed import read_bytes

    assert {read_bytes(path) for path in tmp_path.iterdir()} == {content}


def test_cut_files_are_named(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.int32).reshape(3, 4)
    with pytest.raises(FileError, match="cut off"):
        decode(cbf_bytes(image)[:-50], "f.cbf", image.copy())
    with pytest.raises(FileError, match="too early"):
        decode(cbf_bytes(image, b"\x80\x01\x02" * 4), "f.cbf", image.copy())
    with pytest.raises(FileError, match=r"f\.cbf"):
        decode(b"nothing", "f.cbf", image.copy())


@pytest.fixture
def l_cysteine(data_dir: Path) -> Experiment:
    header = read_image_header(str(data_dir / "l_cysteine" / "l-cyst_01_00003.cbf.gz"))
    return Experiment("x", ImageSet(header.template), header.beam, header.detector, header.goniometer, header.scan)


def test_real_image_against_fabio(l_cysteine: Experiment) -> None:
    fabio = pytest.importorskip("fabio")
    stack = open_stack(l_cysteine)
    assert stack.array_range == (2, 3)
    with stack.reader() as reader:
        (panel,) = reader.read(2)
        assert np.array_equal(panel, fabio.open(stack.source.files([3])[0]).data)
    (good,) = stack.mask()
    assert not good[:, 487:494].any()  # the gap between modules is an untrusted rectangle
    assert np.all(panel[~good] < 0)


def test_missing_image_is_named(l_cysteine: Experiment, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"x_00003\.cbf.*missing"):
        open_stack(l_cysteine.evolve(imageset=ImageSet(str(tmp_path / "x_#####.cbf"))))


def test_panels_of_a_curved_detector(data_dir: Path) -> None:
    fabio = pytest.importorskip("fabio")
    path = data_dir / "formats" / "DLS_I23_P12M_thau_00001.cbf.gz"
    header = read_image_header(str(path))
    stack = open_stack(Experiment("x", ImageSet(header.template), header.beam, header.detector, None, header.scan))
    whole = fabio.open(str(path)).data
    with stack.reader() as reader:
        panels = reader.read(0)
    assert len(panels) == 24
    assert all(np.array_equal(panels[k], whole[212 * k : 212 * k + 195]) for k in range(24))
