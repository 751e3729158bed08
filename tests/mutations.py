"""Two hundred ways to spoil image files, always the same ones. Small files: 6 frames of 20 × 30 pixels."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from nxmx_writer import write_data, write_master

from mxdask.flow import Flow
from mxdask.images.zarr_convert import convert
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.io.mask import write_mask

SHAPE, N = (20, 30), 6
DETECTOR = "entry/instrument/detector"
WAVELENGTH = "entry/instrument/beam/incident_wavelength"
OMEGA = "entry/sample/transformations/omega"
MODULE = f"{DETECTOR}/module"


@dataclass
class Case:
    """Files to import, parameters, and the folder whose name must be in a complaint."""

    name: str
    files: list[str]
    words: list[str] = field(default_factory=list)


def make_cases(folder: Path, full_cbf: bytes | None) -> list[Case]:
    """Write all mutated files below ``folder``."""
    cases: list[Case] = []
    makers = (_headers, _broken_masters, _data, _chunks, _filewriter, _mini_cbf, _smv, _zarr, _masks)
    for maker in makers:
        cases += maker(folder)
    if full_cbf is not None:
        cases += _full_cbf(folder, full_cbf)
    return cases


def frames() -> np.ndarray:
    return np.random.default_rng(0).poisson(2, (N, *SHAPE)).astype("uint16")


def _good(folder: Path, *, virtual: bool = True) -> Path:
    folder.mkdir(parents=True)
    write_data(folder / "d_000001.h5", frames()[:3])
    write_data(folder / "d_000002.h5", frames()[3:])
    mask = np.zeros(SHAPE, "uint32")
    parts = [("d_000001.h5", 3), ("d_000002.h5", 3)]
    return write_master(folder / "m_master.h5", parts, SHAPE, "uint16", virtual=virtual, mask=mask)


def _flipped(content: bytes, rng: np.random.Generator, count: int, first: int = 0, end: int | None = None) -> bytes:
    out = bytearray(content)
    for at in rng.integers(first, end or len(out), count):
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


# ---- NXmx masters --------------------------------------------------------------------------------------------------


def with_value(path: str, new: Any) -> Callable[[h5py.File], Any]:
    """Puts another value in the place of a data set; its attributes stay."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = new
        file[path].attrs.update(attributes)

    return change


def _absurd(path: str, shape: tuple[int, ...], dtype: str = "f8") -> Callable[[h5py.File], Any]:
    """A data set of a huge shape that takes no room in the file."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs) if path in file else {}
        if path in file:
            del file[path]
        file.create_dataset(
            path,
            shape=shape,
            dtype=dtype,
            chunks=tuple(max(1, min(n, 64)) for n in shape),
            maxshape=(None,) * len(shape),
        )
        file[path].attrs.update(attributes)

    return change


def _attribute(path: str, name: str, new: Any) -> Callable[[h5py.File], Any]:
    return lambda file: file[path].attrs.__setitem__(name, new)


def _deleted(path: str) -> Callable[[h5py.File], Any]:
    return lambda file: file.__delitem__(path)


def _group_instead(path: str) -> Callable[[h5py.File], Any]:
    def change(file: h5py.File) -> None:
        del file[path]
        file.create_group(path)

    return change


def _header_changes() -> Iterator[Callable[[h5py.File], Any]]:
    fast, det_z = f"{MODULE}/fast_pixel_direction", f"{DETECTOR}/transformations/det_z"
    for path in (WAVELENGTH, det_z, fast, f"{DETECTOR}/sensor_thickness", OMEGA):
        for new in (np.nan, np.inf, -1e300, 0.0, "text", np.zeros(0)):
            yield with_value(path, new)
    for path in (WAVELENGTH, OMEGA, fast, f"{DETECTOR}/saturation_value", f"{DETECTOR}/frame_time"):
        yield _absurd(path, (10**12,))
    for new in ([-20, 30], [0, 0], [2**40, 2**40], [20], [2**63 - 1, 30], [30, 20], [19, 30]):
        yield with_value(f"{MODULE}/data_size", new)
    for new in ([-1, -1], [10**9, 0], [5, 0, 0], [0]):
        yield with_value(f"{MODULE}/data_origin", new)
    for path in (OMEGA, fast, det_z):
        for new in ([np.nan, 0, 0], [0.0, 0.0, 0.0], [1.0], [1e308, 1e308, 1e308]):
            yield _attribute(path, "vector", new)
    for new in ("/nowhere", "circle", ""):
        yield _attribute(det_z, "depends_on", f"/{det_z}" if new == "circle" else new)
    for path in (WAVELENGTH, "entry/data/data", DETECTOR, "entry/sample", f"{MODULE}/data_size"):
        yield _deleted(path)
    for path in (WAVELENGTH, "entry/data/data", OMEGA, f"{DETECTOR}/pixel_mask", f"{MODULE}/data_size"):
        yield _group_instead(path)
    for shape in ((2**20, 2**20), (0, 0), (7,), (20, 30, 5)):
        yield _absurd(f"{DETECTOR}/pixel_mask", shape, "u4")
    yield _attribute(WAVELENGTH, "units", "furlong")
    yield _attribute(det_z, "units", 7.5)
    yield _absurd("entry/data/data", (2**40, *SHAPE), "u2")
    yield _absurd("entry/data/data", (6, 2**20, 2**20), "u2")
    yield _absurd("entry/data/data", (6, 0, 0), "u2")
    yield _absurd(f"{DETECTOR}/bit_depth_image", (1,))


def _headers(folder: Path) -> Iterator[Case]:
    for number, change in enumerate(_header_changes()):
        master = _good(folder / f"header{number:02d}")
        with h5py.File(master, "r+") as file:
            change(file)
        yield Case(f"header{number:02d}", [str(master)])


def _broken_masters(folder: Path) -> Iterator[Case]:
    for number in range(24):
        rng = np.random.default_rng(100 + number)
        master = _good(folder / f"master{number:02d}")
        content = master.read_bytes()
        if number < 4:
            master.write_bytes(content[: len(content) * number // 4])
        else:
            master.write_bytes(_flipped(content, rng, 1 + number % 12, 0 if number % 2 else 48))
        yield Case(f"master{number:02d}", [str(master)])


# ---- data files ----------------------------------------------------------------------------------------------------


def _data(folder: Path) -> Iterator[Case]:
    for number in range(20):
        rng = np.random.default_rng(200 + number)
        master = _good(folder / f"data{number:02d}")
        path = master.with_name(f"d_00000{1 + number % 2}.h5")
        content = path.read_bytes()
        if number < 5:
            path.write_bytes(content[: len(content) * (number + 1) // 6])
        elif number < 15:
            path.write_bytes(_flipped(content, rng, 1 + number % 5))
        else:
            path.write_bytes(_flipped(content, rng, 3, len(content) // 2))
        yield Case(f"data{number:02d}", [str(master)])
    replaced: list[Any] = [
        np.zeros((3, 0, 0), "u2"), np.zeros((3, 21, 30), "u2"), np.zeros((3, *SHAPE), "f4"),
        np.zeros((3, *SHAPE), "i8"), np.zeros((0, *SHAPE), "u2"), np.zeros(SHAPE, "u2"), np.zeros((2, *SHAPE), "u2"),
        np.zeros((3, *SHAPE), "S3"), None,
    ]  # fmt: skip
    for number, array in enumerate(replaced):
        for virtual in (True, False):
            name = f"replaced{number}{'v' if virtual else 'l'}"
            master = _good(folder / name, virtual=virtual)
            path = master.with_name("d_000002.h5")
            path.unlink()
            if array is not None:
                with h5py.File(path, "w") as file:
                    file["data"] = array
            yield Case(name, [str(master)])


def _chunks(folder: Path) -> Iterator[Case]:
    """One packed frame spoilt: sizes of its header, of its blocks, its bytes; or packed by another filter."""
    for number in range(16):
        rng = np.random.default_rng(300 + number)
        master = _good(folder / f"chunk{number:02d}")
        path = master.with_name("d_000002.h5")
        with h5py.File(path, "r") as file:
            info = file["data"].id.get_chunk_info(1)
        content = bytearray(path.read_bytes())
        at, size = info.byte_offset, info.size
        patches: dict[int, tuple[int, bytes]] = {
            0: (0, b"\xff" * 8), 1: (0, b"\0" * 8), 2: (8, b"\0" * 4), 3: (8, b"\xff" * 4), 4: (8, b"\0\0\0\x07"),
            5: (12, b"\xff" * 4), 6: (12, b"\0" * 4), 7: (12, b"\x7f\xff\xff\xff"), 8: (16, b"\xff" * (size - 16)),
            9: (0, (2**40).to_bytes(8, "big")),
        }  # fmt: skip
        if number in patches:
            offset, new = patches[number]
            content[at + offset : at + offset + len(new)] = new
            path.write_bytes(content)
        else:
            path.write_bytes(_flipped(bytes(content), rng, 4, at + 12, at + size))
        yield Case(f"chunk{number:02d}", [str(master)])
    filters: list[dict[str, Any]] = [
        {"compression": "gzip"}, dict(hdf5plugin.LZ4()), dict(hdf5plugin.Bitshuffle(cname="zstd")),
        {"chunks": (2, 10, 30)},
    ]  # fmt: skip
    for number, options in enumerate(filters):
        master = _good(folder / f"filter{number}")
        path = master.with_name("d_000002.h5")
        path.unlink()
        write_data(path, frames()[3:], **({"chunks": (1, *SHAPE)} | options))
        content = path.read_bytes()
        # The file claims another filter than the one that packed it (deflate is 1, LZ4 32004, bitshuffle 32008).
        for old, new in ((b"deflate", b"inflate"), ((32004).to_bytes(2, "little"), (32008).to_bytes(2, "little"))):
            content = content.replace(old, new)
        if number == 2:
            content = content.replace((32008).to_bytes(2, "little"), (32099).to_bytes(2, "little"))
        path.write_bytes(content)
        yield Case(f"filter{number}", [str(master)])


def _filewriter(folder: Path) -> Iterator[Case]:
    """Masters of the detector's own writer: no NXmx definition, external links to the data."""
    changes: list[Callable[[h5py.File], Any]] = [
        lambda file: None,
        _deleted("entry/data/data_000001"),
        with_value("entry/data/data_000001", 5),
        _group_instead("entry/data/data_000002"),
        lambda file: file["entry/data"].__setitem__("data_000003", h5py.ExternalLink("absent.h5", "/data")),
        lambda file: file["entry/data"].__setitem__("data_000003", h5py.ExternalLink("m_master.h5", "/entry/data")),
        lambda file: file["entry/data"].__setitem__("data_000000", h5py.SoftLink("/entry/data/data_000000")),
        with_value(f"{DETECTOR}/beam_center_x", np.nan),
        with_value(f"{DETECTOR}/detector_distance", -np.inf),
        with_value(f"{DETECTOR}/x_pixel_size", 0.0),
        _absurd(f"{DETECTOR}/detectorSpecific/pixel_mask", (2**16, 2**16), "u4"),
        _deleted(f"{DETECTOR}/sensor_thickness"),
    ]
    for number, change in enumerate(changes):
        master = _good(folder / f"writer{number:02d}", virtual=False)
        with h5py.File(master, "r+") as file:
            del file["entry/definition"], file[MODULE]
            file[f"{DETECTOR}/detectorSpecific/nimages"] = N
            for name, value in (("beam_center_x", 15.0), ("beam_center_y", 10.0), ("detector_distance", 0.1)):
                file[f"{DETECTOR}/{name}"] = value
            change(file)
        yield Case(f"writer{number:02d}", [str(master)])


# ---- one file per image --------------------------------------------------------------------------------------------

_MINI = """###CBF: VERSION 1.5, test\r
data_x\r
_array_data.header_convention "PILATUS_1.2"\r
_array_data.header_contents\r
;\r
# Detector: PILATUS 9k, S/N 1-0001\r
# 2020-Jan-01T00:00:00.000\r
# Pixel_size 172e-6 m x 172e-6 m\r
# Silicon sensor, thickness 0.000320 m\r
# Exposure_time 0.1 s\r
# Exposure_period 0.1 s\r
# Count_cutoff 1000000 counts\r
# Wavelength 1.0 A\r
# Detector_distance 0.2 m\r
# Beam_xy (15.0, 10.0) pixels\r
# Start_angle 0.0 deg.\r
# Angle_increment 0.1 deg.\r
;\r
_array_data.data\r
;\r
--CIF-BINARY-FORMAT-SECTION--\r
Content-Type: application/octet-stream;\r
     conversions="x-CBF_BYTE_OFFSET"\r
X-Binary-Size: 600\r
X-Binary-Element-Type: "signed 32-bit integer"\r
X-Binary-Element-Byte-Order: LITTLE_ENDIAN\r
X-Binary-Number-of-Elements: 600\r
X-Binary-Size-Fastest-Dimension: 30\r
X-Binary-Size-Second-Dimension: 20\r
\r
"""


def mini_cbf(header: str = _MINI, packed: bytes = bytes(600)) -> bytes:
    return header.encode("latin-1") + b"\x0c\x1a\x04\xd5" + packed + bytes(64)


def _mini_cbf(folder: Path) -> Iterator[Case]:
    swaps = [
        ("Wavelength 1.0", "Wavelength nan"), ("Wavelength 1.0", "Wavelength -1"), ("# Wavelength 1.0 A", "#"),
        ("distance 0.2", "distance nan"), ("distance 0.2", "distance 0"), ("distance 0.2", "distance 1e400"),
        ("Beam_xy (15.0, 10.0)", "Beam_xy (nan)"), ("172e-6 m x 172e-6", "0 m x 0"), ("172e-6 m x", "-172e-6 m x"),
        ("thickness 0.000320", "thickness 1.2.3"), ("cutoff 1000000", "cutoff -5"),
        ("increment 0.1", "increment 1e999"),
        ("Binary-Size: 600", "Binary-Size: 6"), ("Binary-Size: 600", "Binary-Size: 99999999999999"),
        ("Dimension: 30", "Dimension: 999999999"), ("Dimension: 30", "Dimension: 0"),
        ("Dimension: 20", "Dimension: 19"),
        ("signed 32-bit", "complex 64-bit"), ("BYTE_OFFSET", "PACKED"), ("BYTE_OFFSET", "NONE"),
        ("LITTLE", "BIG"), ("X-Binary-Size: 600\r\n", ""), ("--CIF-BINARY-FORMAT-SECTION--", ""),
    ]  # fmt: skip
    contents = [mini_cbf(_MINI.replace(old, new)) for old, new in swaps]
    whole = mini_cbf()
    contents += [whole[:n] for n in (0, 20, 300, len(whole) - 400)]
    contents += [mini_cbf(packed=b"\x80" * 600), mini_cbf(packed=b"\x80\x00\x80\x00\x00\x00\x80" * 85 + bytes(5))]
    contents += [_flipped(whole, np.random.default_rng(400 + k), 3, 0, len(_MINI)) for k in range(12)]
    (folder / "cbf").mkdir()
    for number, content in enumerate(contents):
        path = folder / "cbf" / f"mini{number:02d}x_001.cbf"
        path.write_bytes(content)
        yield Case(f"mini{number:02d}", [str(path)])
    for number, content in enumerate((gzip.compress(whole)[:-30], b"\x1f\x8b" + whole, whole)):
        path = folder / "cbf" / f"zip{number}x_001.cbf.gz"
        path.write_bytes(content)
        yield Case(f"zip{number}", [str(path)])


def _full_cbf(folder: Path, content: bytes) -> Iterator[Case]:
    marker = content.find(b"\x0c\x1a\x04\xd5")
    (folder / "full").mkdir()
    for number in range(20):
        rng = np.random.default_rng(500 + number)
        new = content[: marker * (number + 1) // 5] if number < 4 else _flipped(content, rng, 8, 0, marker)
        path = folder / "full" / f"full{number:02d}x_001.cbf"
        path.write_bytes(new)
        yield Case(f"full{number:02d}", [str(path)])


_SMV = (
    "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=30;\nSIZE2=20;\n"
    "PIXEL_SIZE=0.1;\nDISTANCE=100.0;\nOSC_START=0;\nOSC_RANGE=1.0;\nTIME=1.0;\nWAVELENGTH=1.0;\n"
    "BEAM_CENTER_X=1.0;\nBEAM_CENTER_Y=1.5;\n}\n"
)


def _smv(folder: Path) -> Iterator[Case]:
    swaps = [
        ("SIZE1=30", "SIZE1=-30"), ("SIZE1=30", "SIZE1=1e12"), ("SIZE1=30", "SIZE1=nan"), ("SIZE2=20", "SIZE2=21"),
        ("unsigned_short", "quaternion"), ("little_endian", "middle"), ("HEADER_BYTES=512", "HEADER_BYTES=99999999"),
        ("WAVELENGTH=1.0", "WAVELENGTH=nan"), ("DISTANCE=100.0", "DISTANCE=0"), ("PIXEL_SIZE=0.1", "PIXEL_SIZE=-1"),
        ("DISTANCE=100.0;", ""), ("TIME=1.0", "TIME=soon"), ("OSC_RANGE=1.0", "OSC_RANGE=inf"), ("}", " "),
    ]  # fmt: skip
    (folder / "smv").mkdir()
    headers = [_SMV.replace(old, new) for old, new in swaps]
    contents = [h.encode().ljust(512) + bytes(1200) for h in headers]
    contents += [_SMV.encode().ljust(512) + bytes(1199), _SMV.encode()[:40], b"\0" * 3000, b"{}"]
    for number, content in enumerate(contents):
        path = folder / "smv" / f"smv{number:02d}x_001.img"
        path.write_bytes(content)
        yield Case(f"smv{number:02d}", [str(path)])


# ---- stores and masks ----------------------------------------------------------------------------------------------


def _zarr(folder: Path) -> Iterator[Case]:
    master = _good(folder / "tozarr")
    with Flow("sync") as flow:
        ((experiment,), _) = run([master], Params(), flow=flow)
        convert(experiment, folder / "good.zarr", flow=flow, block=2)
    names = ["zarr.json", "frames/zarr.json", "mask/zarr.json", "frames/c/1/0/0", "mask/c/0/0"]
    for number in range(20):
        rng = np.random.default_rng(600 + number)
        store = folder / f"store{number:02d}.zarr"
        shutil.copytree(folder / "good.zarr", store)
        path = store / names[number % 5]
        content = path.read_bytes()
        if number < 5:
            path.unlink()
        elif number < 10:
            path.write_bytes(content[: len(content) // 2])
        else:
            path.write_bytes(_flipped(content, rng, 2))
        yield Case(f"store{number:02d}", [str(store)])


def _masks(folder: Path) -> Iterator[Case]:
    for number in range(8):
        master = _good(folder / f"mask{number}")
        path = folder / f"mask{number}" / ("user.npz" if number % 2 else "user.pickle")
        shape = [(21, 30), (30, 20), (1, 1), SHAPE, SHAPE, SHAPE, SHAPE, (200, 300)][number]
        write_mask(path, [np.ones(shape, bool)] * (2 if number == 3 else 1))
        content = path.read_bytes()
        if number in (4, 5):
            path.write_bytes(content[: len(content) // 2])
        elif number == 6:
            path.write_bytes(_flipped(content, np.random.default_rng(7), 6, 0, 60))
        yield Case(f"mask{number}", [str(master)], [f"lookup.mask={path}"])
