"""Every command given every kind of broken file: one line that names the file, exit code 1 or 2, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from mxdask.cli import COMMANDS, main
from mxdask.io.mask import write_mask
from mxdask.io.refl import read_refl, write_refl
from mxdask.simulate.params import Beam, Crystals, DetectorKind, SimulatedSet, Sweep
from mxdask.simulate.step import make
from mxdask.table import ReflectionTable

pytestmark = pytest.mark.slow

SET = SimulatedSet(
    name="b",
    seed=3,
    crystals=Crystals(count=2),
    sweep=Sweep(images=12, width=0.3),
    beam=Beam(wavelength=0.9763),
    detector=DetectorKind(size="512", distance=40.0),
)
# What each command is given when all is well.
WORDS: dict[str, tuple[str, ...]] = {
    "multiplex": ("integrated.expt", "integrated.refl"),
    "find_spots": ("imported.expt",),
    "index": ("imported.expt", "strong.refl"),
    "refine": ("indexed.expt", "indexed.refl"),
    "integrate": ("refined.expt", "refined.refl"),
    "cosym": ("integrated.expt", "integrated.refl"),
    "symmetry": ("integrated.expt", "integrated.refl"),
    "scale": ("symmetrized.expt", "symmetrized.refl"),
    **dict.fromkeys(("predict", "plot_scan_varying_model"), ("refined.expt",)),
    "create_profile_model": ("refined.expt", "refined.refl"),
    "two_theta_refine": ("integrated.expt", "integrated.refl"),
    **dict.fromkeys(("convert", "verify", "generate_mask", "show_mask", "shadow_plot"), ("imported.expt",)),
    "apply_mask": ("imported.expt", "pixels.mask"),
    **dict.fromkeys(
        ("refine_bravais_settings", "rbs", "check_indexing_symmetry", "cluster_unit_cell"),
        ("indexed.expt", "indexed.refl"),
    ),
    **dict.fromkeys(
        ("compare_orientation_matrices", "unit_cell_histogram", "stereographic_projection"), ("indexed.expt",)
    ),
    "correlation_matrix": ("symmetrized.expt", "symmetrized.refl"),
    **dict.fromkeys(
        ("combine_experiments", "split_experiments", "assign_experiment_identifiers", "show"),
        ("integrated.expt", "integrated.refl"),
    ),
    "slice_sequence": ("integrated.expt", "integrated.refl", "image_range=1,6"),
    "filter_reflections": ("integrated.refl", "integrated.expt", "d_min=2.5"),
    "reindex": ("integrated.expt", "integrated.refl", "change_of_basis_op=b,c,a"),
    **dict.fromkeys(("modify_geometry", "modify_experiments"), ("imported.expt", "wavelength=1.0")),
    "merge_reflection_lists": ("integrated.refl", "scaled.refl", "method=extend"),
    "sort_reflections": ("integrated.refl",),
    **dict.fromkeys(
        ("search_beam_position", "spot_counts_per_image", "detect_blanks", "find_hot_pixels"),
        ("imported.expt", "strong.refl"),
    ),
    **dict.fromkeys(("estimate_gain", "find_bad_pixels", "image_average"), ("imported.expt",)),
    **dict.fromkeys(
        ("merge", "export", "compute_delta_cchalf", "estimate_resolution", "merging_statistics", "damage_analysis",
         "wilson", "twinning", "missing_reflections", "compare_merging_stats"),
        ("scaled.expt", "scaled.refl"),
    ),
    "compare_merging_stats": ("scaled.expt", "scaled.refl", "scaled.mtz"),
    "plot_scan_varying_model": ("refined.expt",),
}  # fmt: skip
# Commands that are given images, folders or files of other programs.
FROM_OUTSIDE = ("process", "import", "import_xds", "import_mtz", "watch", "report", "show")
# Files that nothing can be made of.
UNREADABLE = {"missing", "wildcard", "directory", "empty", "cut off", "garbage", "list", "no experiments", "bad index",
              "nan detector", "nan beam", "nan crystal", "bad group", "hdf5 garbage", "another format"}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all steps for two small crystals, in a folder whose name is not plain ASCII."""
    folder = tmp_path_factory.mktemp("Läufe mit Ψ") / "run 1"
    made = make(SET, folder / "images")
    assert main(["process", *map(str, made.masters), "--output-dir", str(folder), "--workers", "1"]) == 0
    write_mask(folder / "pixels.mask", [np.ones((512, 512), bool)])
    return folder


def broken_experiments(source: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Kind and file of what can be wrong with an .expt file."""
    text = source.read_text()
    files: dict[str, Any] = {"empty": "", "cut off": text[: len(text) // 2], "garbage": b"\xff\xfe\x00\x89", "list": []}

    def changed() -> Any:
        return json.loads(text)

    files["no experiments"] = changed() | {"experiment": []}
    files["bad index"] = changed()
    files["bad index"]["experiment"][0]["detector"] = 7
    files["nan detector"] = changed()
    for detector in files["nan detector"]["detector"]:
        detector["panels"][0]["origin"][2] = float("nan")
    files["nan beam"] = changed()
    for beam in files["nan beam"]["beam"]:
        beam["wavelength"] = float("nan")
    if changed().get("crystal"):
        for kind, number in (("nan crystal", None), ("one nan crystal", 1)):
            files[kind] = changed()
            for crystal in files[kind]["crystal"][:number]:
                crystal["real_space_a"] = [float("nan")] * 3
        files["bad group"] = changed()
        for crystal in files["bad group"]["crystal"]:
            crystal["space_group_hall_symbol"] = "X 99"
    for model in ("crystal", "detector", "beam", "scan", "goniometer", "imageset"):
        files[f"no {model}"] = changed()
        for experiment in files[f"no {model}"]["experiment"]:
            experiment.pop(model, None)
    for kind, content in files.items():
        path = folder / f"{kind}.expt"
        path.write_bytes(content if isinstance(content, bytes) else _text(content).encode())
        yield kind, path
    yield from _no_files(folder, ".expt")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def _no_files(folder: Path, suffix: str) -> Iterator[tuple[str, Path]]:
    (folder / f"directory{suffix}").mkdir(exist_ok=True)
    yield "directory", folder / f"directory{suffix}"
    yield "missing", folder / f"absent{suffix}"
    yield "wildcard", folder / f"zz*{suffix}"


def broken_reflections(source: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Kind and file of what can be wrong with a .refl file."""
    content = source.read_bytes()
    files = {"empty": b"", "cut off": content[: len(content) // 2], "garbage": b"\xff\xfe\x00{}",
             "hdf5 garbage": b"\x89HDF\r\n\x1a\n" + bytes(100), "another format": b'{"__id__": "X"}'}  # fmt: skip
    for kind, data in files.items():
        (folder / f"{kind}.refl").write_bytes(data)
        yield kind, folder / f"{kind}.refl"
    table = read_refl(source, defer=False)
    tables = {
        "no rows": table.select(np.zeros(0, np.int64)),
        "no columns": ReflectionTable({"id": table["id"]}, table.identifiers),
    }
    tables["of others"] = table.copy()
    tables["of others"].identifiers = {k: f"other-{k}" for k in table.identifiers}
    tables["not numbers"] = table.copy()
    for name in list(table):
        if table[name].dtype.kind == "f":
            tables["not numbers"][name] = np.full_like(table[name], np.nan)
    for kind, value in (("unassigned", -1), ("unknown experiment", 99)):
        tables[kind] = table.copy()
        tables[kind]["id"] = np.full(len(table), value, np.int32)
    if "miller_index" in table:
        tables["unindexed"] = table.copy()
        tables["unindexed"]["miller_index"] = np.zeros_like(table["miller_index"])
    for kind, one in tables.items():
        write_refl(folder / f"{kind}.refl", one)
        yield kind, folder / f"{kind}.refl"
    yield from _no_files(folder, ".refl")


@pytest.fixture(scope="module")
def broken(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, Path]]]:
    """Good file → broken ones to take its place."""
    out = {}
    for name in sorted({w for words in WORDS.values() for w in words if w.endswith((".expt", ".refl"))}):
        folder = tmp_path_factory.mktemp("broken")
        maker = broken_experiments if name.endswith(".expt") else broken_reflections
        out[name] = list(maker(run / name, folder))
    return out


def complaint(command: str, words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that fails; "" if it does what it can."""
    code = main([command, *words, "--output-dir", str(out), "--scheduler", "sync"])
    said = capsys.readouterr()
    everything = f"{command} {words}: {said.out[-500:]}{said.err}"
    assert code in (0, 1, 2), everything
    for word in ("internal error", "Traceback", "Warning:"):
        assert word not in said.out + said.err, everything
    if code == 0:
        return ""
    assert len(said.err.strip().splitlines()) == 1, everything
    assert said.err.startswith(f"mxdask {command}: "), everything
    return said.err


def test_no_command_is_forgotten() -> None:
    assert set(COMMANDS) == {*WORDS, *FROM_OUTSIDE, "demo"}


@pytest.mark.parametrize("command", sorted(WORDS))
def test_broken_files(
    command: str,
    run: Path,
    broken: dict[str, list[tuple[str, Path]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = [w if "=" in w else str(run / w) for w in WORDS[command]]
    for place, name in enumerate(WORDS[command]):
        for kind, path in broken.get(name, ()):
            if command == "search_beam_position" and kind in ("no crystal", "no scan", "no imageset"):
                continue  # it can do without, and takes its time
            out = tmp_path / f"{place} {kind}"
            line = complaint(command, [*good[:place], str(path), *good[place + 1 :]], out, capsys)
            if kind in UNREADABLE:
                assert path.stem in line, f"{command}, {kind}: the line does not name the file: {line!r}"
                left = [p.name for p in out.rglob("*") if p.is_file() and p.suffix not in (".log", ".jsonl")]
                assert not left, f"{command}, {kind}: wrote {left}"


@pytest.mark.parametrize("command", FROM_OUTSIDE)
def test_broken_files_from_outside(command: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suffix = {"import_xds": ".HKL", "import_mtz": ".mtz"}.get(command, ".nxs")
    files = dict(_no_files(tmp_path, suffix))
    master = next((run / "images").glob("*.nxs")).read_bytes()
    for kind, data in (
        ("empty", b""),
        ("garbage", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        ("cut off", master[: len(master) // 2]),
    ):
        files[kind] = tmp_path / f"{kind}{suffix}"
        files[kind].write_bytes(data)
    for kind, path in files.items():
        if command == "watch" and kind == "directory":
            continue  # an empty folder is what a session begins with
        out = tmp_path / f"out {kind}"
        main([command, str(path), "--output-dir", str(out), "--scheduler", "sync"])
        said = capsys.readouterr()
        assert "internal error" not in said.err, said.err
        assert "Traceback" not in said.err, said.err
        assert path.stem in said.err.splitlines()[-1], f"{kind}: {said.err}"


def test_files_given_in_any_order(run: Path, tmp_path: Path) -> None:
    words = [str(run / "scaled.refl"), str(run / "scaled.expt")]
    assert main(["merge", *words, "--output-dir", str(tmp_path)]) == 0
    assert main(["merge", *reversed(words), "--output-dir", str(tmp_path / "2")]) == 0
    one, two = (gemmi.read_mtz_file(str(folder / "merged.mtz")).array for folder in (tmp_path, tmp_path / "2"))
    np.testing.assert_array_equal(one, two)
