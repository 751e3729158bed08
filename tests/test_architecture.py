"""Who may import whom (docs/architecture.md), and where Dask and numba may appear."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "mxdask"
FOUNDATION = {"errors", "text", "__init__"}
STEPS = {"importing", "spots", "index", "refine", "integrate", "symmetry", "cosym", "scale", "merge"}
# Small programs beside the chain, built as steps are.
TOOLS = {"lists", "bravais", "twotheta", "beamposition", "assess", "exchange"}
SHARED = {"models", "table", "params", "geometry", "lattice", "modelfit", "intensity"}
ALLOWED: dict[str, set[str]] = {
    "models": set(),
    "table": {"models"},
    "params": set(),
    "_jit": set(),
    "io": {"models", "table", "lattice"},
    "flow": {"io"},
    "geometry": {"models", "table", "_jit"},
    "lattice": {"models", "_jit"},
    "modelfit": {"models", "table", "geometry", "lattice", "_jit"},
    "intensity": {"models", "table", "params", "geometry", "lattice", "_jit"},
    "masks": {"models", "table", "io", "geometry", "lattice", "params", "_jit"},
    "images": {"io", "models", "flow", "masks", "_jit"},
    "clustering": {"models", "table", "params", "lattice", "intensity", "_jit"},
    "simulate": {"models", "table", "io", "flow", "params", "geometry", "lattice", "_jit"},
    "report": {"io"},
}
for _step in STEPS | TOOLS:
    ALLOWED[_step] = SHARED | {"images", "masks", "clustering", "flow", "_jit", _step}
ALLOWED["importing"] |= {"io"}
ALLOWED["cosym"] |= {"io"}  # reference files
ALLOWED["merge"] |= {"io"}
ALLOWED["scale"] |= {"io"}  # a reference to scale to
ALLOWED["spots"] |= {"io"}
ALLOWED["exchange"] |= {"io"}
ALLOWED["assess"] |= {"io"}  # unmerged MTZ files
ALLOWED["beamposition"] |= {"index"}  # periods and longest axis of the spots
TOP = (
    STEPS
    | TOOLS
    | SHARED
    | {"images", "masks", "clustering", "io", "flow", "report", "rundir", "pipeline", "pipeline_params", "step_input"}
)
ALLOWED["rundir"] = {"io", "flow", "models", "table"}
ALLOWED["pipeline_params"] = STEPS | {"params"}
ALLOWED["step_input"] = {"models", "table", "index", "rundir", "pipeline_params"}
ALLOWED["pipeline"] = TOP
ALLOWED["multiplex"] = TOP
ALLOWED["watching"] = TOP | {"multiplex"}
ALLOWED["cli"] = TOP | {"cli", "simulate", "multiplex", "watching"}
ALLOWED["__main__"] = {"cli"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of everything a module imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "mxdask":
                found.update(f"mxdask.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward_only(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        if not name.startswith("mxdask."):
            continue
        there = name.split(".")[1]
        if there == here or there in FOUNDATION or here == "__init__":
            continue
        assert there in ALLOWED.get(here, set()), f"mxdask.{here} must not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_dask_and_numba_stay_in_their_files(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path)}
    if names & {"dask", "distributed"}:
        assert path.name == "step.py" or room(path) in ("flow", "images"), "Dask only in step.py, images/ and flow/"
    if "numba" in names:
        assert path.name.endswith("_kernels.py") or path.name == "_jit.py", "numba only in *_kernels.py"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
