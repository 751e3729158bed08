"""The rules of docs/architecture.md that a machine can check: who imports whom, where Dask, numba and pydantic appear,
that every parameter is read, and that every kernel is held against plain numpy.

Each test collects all offenders, so that one run names them all.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent / "mxdask"
FOUNDATION = {"errors", "text", "__init__"}
STEPS = {"importing", "spots", "index", "refine", "integrate", "symmetry", "cosym", "scale", "merge"}
# Small programs beside the chain, built as steps are.
TOOLS = {"lists", "bravais", "twotheta", "beamposition", "assess", "exchange"}
SHARED = {"models", "table", "deferred", "params", "geometry", "lattice", "modelfit", "intensity"}
ALLOWED: dict[str, set[str]] = {
    "models": set(),
    "deferred": set(),
    "table": {"models", "deferred"},
    "params": set(),
    "_jit": set(),
    "io": {"models", "table", "deferred", "lattice"},
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

# The base of all parameters; a file that users write and that is checked as parameters are.
PYDANTIC_TOO = {"params.py", "importing/beamline_file.py"}
# Modules named as text, so that a command loads only what it needs. They are checked where the names are listed.
LATE_IMPORTS = {"cli/dispatch.py", "cli/parameters.py", "pipeline.py"}


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(ROOT.rglob("*.py")))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Full names of everything a module imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "mxdask":
                found.update(f"mxdask.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
    return frozenset(found)


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_every_room_has_its_rule() -> None:
    assert {room(path) for path in modules()} == ALLOWED.keys() | FOUNDATION


def test_imports_go_downward_only() -> None:
    wrong = []
    for path in modules():
        here = room(path)
        theirs = {name.split(".")[1]: name for name in imports(path) if name.startswith("mxdask.")}
        beyond = theirs.keys() - ALLOWED.get(here, set()) - FOUNDATION - {here}
        if here != "__init__":
            wrong += [f"{shown(path)} imports {theirs[there]}" for there in beyond]
    assert not wrong


def test_dask_stays_in_its_files() -> None:
    wrong = [
        shown(path)
        for path in modules()
        if packages(path) & {"dask", "distributed"} and not (path.name == "step.py" or room(path) in ("flow", "images"))
    ]
    assert not wrong, "Dask only in step.py, images/ and flow/"


def test_no_engine_beside_dask() -> None:
    own = {"concurrent", "multiprocessing", "asyncio", "joblib"}
    wrong = [shown(path) for path in modules() if packages(path) & own and room(path) != "flow"]
    assert not wrong, "what runs in parallel runs on Dask; only flow/ sets Dask's pools up"


def test_numba_stays_in_kernels_and_kernels_know_arrays_only() -> None:
    kernels = [path for path in modules() if path.name.endswith("_kernels.py")]
    users = [p for p in modules() if {"numba", "llvmlite"} & packages(p) or "mxdask._jit" in imports(p)]
    assert {shown(p) for p in users} - {shown(p) for p in kernels} == {"_jit.py"}, "numba only in *_kernels.py"
    known = re.compile(r"__future__|math|typing|functools|numpy|(numba|llvmlite)(\..*)?|mxdask\.(_jit|.*_kernels)")
    wrong = [f"{shown(p)} imports {name}" for p in kernels for name in imports(p) if not known.fullmatch(name)]
    assert not wrong, "a kernel takes and gives arrays: no models, tables or parameters"
    wrong = [shown(p) for p in kernels if re.search(r"\bprange\b|parallel=True", p.read_text())]
    assert not wrong, "parallelism is Dask's alone"


def test_pydantic_describes_parameters_only() -> None:
    """A step's parameters are in ``params.py``; a small program may keep a command's own beside its function."""
    wrong = []
    for path in modules():
        if "pydantic" not in packages(path) or shown(path) in PYDANTIC_TOO:
            continue
        named = path.name == "params.py" or path.name.endswith("_params.py")
        if not (named or room(path) in TOOLS | {"cli"}) or not list(parameter_classes(path)):
            wrong.append(shown(path))
    assert not wrong


def test_late_imports_are_where_they_are_expected() -> None:
    found = {shown(path) for path in modules() if re.search(r"\bimport_module\(|\b__import__\(", path.read_text())}
    assert found <= LATE_IMPORTS


def test_modules_stay_small() -> None:
    assert not [shown(path) for path in modules() if len(path.read_text().splitlines()) > 500]


def test_no_state_is_changed_behind_a_call_and_chance_is_seeded() -> None:
    wrong = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Global):
                wrong.append(f"{shown(path)}:{node.lineno} global {', '.join(node.names)}")
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and not node.args:
                wrong.append(f"{shown(path)}:{node.lineno} default_rng() without a seed")
    assert not wrong


def test_every_silenced_check_names_what_it_silences() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!: [A-Z])")
    wrong = [
        f"{path.relative_to(TESTS.parent)}:{number}"
        for path in [*modules(), *TESTS.rglob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line) and "re.compile" not in line
    ]
    assert not wrong


def test_documents_name_files_that_exist() -> None:
    known = {p.relative_to(base).as_posix() for base in (ROOT, TESTS, TESTS.parent) for p in base.rglob("*.py")}
    known |= {name.rsplit("/", 1)[-1] for name in known}
    wrong = [
        f"{document.relative_to(TESTS.parent)}: {name}"
        for document in sorted((TESTS.parent / "docs").rglob("*.md"))
        for name in re.findall(r"`([\w/]+\.py)\b", document.read_text())
        if name not in known
    ]
    assert not wrong


# ---- parameters ----------------------------------------------------------------------------------------------------


@functools.cache
def classes() -> dict[str, set[str]]:
    """Names of the bases of every class of ours, by its name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                found[node.name] |= {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases}
    return found


def is_parameters(name: str) -> bool:
    return name == "StepParams" or any(is_parameters(base) for base in classes().get(name, ()))


def parameter_classes(path: Path) -> Iterator[ast.ClassDef]:
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name != "StepParams" and is_parameters(node.name):
            yield node


# Scopes whose fields are read by name or as a whole: class -> the words in which that happens.
READ_AS_A_WHOLE = {
    "BeamGeometry": ("importing/geometry.py", "geometry.beam.model_dump()"),
    "HierarchyGeometry": ("importing/geometry.py", "given.hierarchy.model_dump()"),
    "RFreeFlags": ("multiplex/dataset.py", "params.r_free_flags.model_dump()"),
}
READ_BY_NAME = re.compile(r"\bgetattr\(|model_dump\(include=")


@functools.cache
def read_where_known(home: str) -> frozenset[str]:
    """Names that are read in the modules that may know the parameters of a room."""
    known = [p for p in modules() if room(p) == home or home in ALLOWED.get(room(p), set())]
    return frozenset().union(*(attributes_read(p) for p in known))


@functools.cache
def attributes_read(path: Path) -> frozenset[str]:
    """Names that a module reads as attributes; where it reads by name, its words count too."""
    nodes = list(ast.walk(tree(path)))
    found = {n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    if READ_BY_NAME.search(path.read_text()):
        found |= {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return frozenset(found)


def test_every_parameter_is_read() -> None:
    """A parameter that nothing reads promises what does not happen.

    Looked up by name: two parameters of one name are told apart by who may import them only.
    """
    unread = []
    for path in modules():
        for scope in parameter_classes(path):
            if scope.name in READ_AS_A_WHOLE:
                file, words = READ_AS_A_WHOLE[scope.name]
                assert words in (ROOT / file).read_text()
                continue
            fields = [ast.unparse(n.target) for n in scope.body if isinstance(n, ast.AnnAssign)]
            read = read_where_known(room(path))
            unread += [f"{shown(path)}: {scope.name}.{field}" for field in fields if field not in read]
    assert not unread


# ---- kernels -------------------------------------------------------------------------------------------------------

# Kernels that tests reach through the function around them: kernel -> the test that compares with plain numpy.
HELD_AGAINST_NUMPY = {
    "accumulate": "modelfit/test_normal_equations.py::test_every_parameter_has_the_right_derivative",
    "accumulate_surface": "integrate/test_profile_kernels.py::test_surface_sums_are_those_of_numpy",
    "add_log_likelihoods": "clustering/test_groups.py::test_predictions_are_conditional_means",
    "add_pair_sums": "clustering/test_groups.py::test_similarity_is_the_correlation_summed_by_hand",
    "blocks_fit": "images/test_hdf5_frames.py::test_damaged_chunk_is_an_error_not_a_crash",
    "compose": "modelfit/test_parameterisations.py::test_rotations_multiply_in_order",
    "copy_pieces": "integrate/test_overlaps.py::test_neighbours_are_all_pairs_that_touch",
    "count_stabilisers": "cosym/test_pairs.py::test_kernels_of_equivalents_against_plain_numpy",
    "derivatives": "scale/test_refine.py::test_derivatives_match_differences",
    "find_dispersed": "spots/test_threshold.py::test_same_pixels_as_definition",
    "gradient_and_blocks": "scale/test_refine.py::test_gradient_blocks_and_product_match_dense_algebra",
    "group_means": "scale/test_refine.py::test_gradient_blocks_and_product_match_dense_algebra",
    "indices_in_sphere": "geometry/test_predict_all.py::test_lattice_centring_removes_indices",
    "join_labels": "spots/test_components.py::test_cutting_into_blocks_changes_nothing",
    "label_pixels": "spots/test_components.py::test_same_partition_and_sums_as_dense_labelling",
    "largest_keys": "cosym/test_pairs.py::test_kernels_of_equivalents_against_plain_numpy",
    "list_kept": "spots/test_threshold.py::test_same_pixels_as_definition",
    "marginal_gain": "clustering/test_groups.py::test_log_marginal_is_the_gaussian_integral",
    "mark_neighbours": "integrate/test_overlaps.py::test_neighbours_are_all_pairs_that_touch",
    "mask_intervals": "masks/test_resolution.py::test_kernel_is_the_plain_formula",
    "nearest_images": "clustering/test_unit_cells.py::test_kernel_is_the_smallest_distance_of_images_either_way",
    "normal_product": "scale/test_refine.py::test_gradient_blocks_and_product_match_dense_algebra",
    "propagated_variance": "scale/test_refine.py::test_variance_of_g_is_propagated",
    "scale_factors": "scale/test_refine.py::test_derivatives_match_differences",
    "spots_around": "integrate/test_overlaps.py::test_spots_around_are_all_that_reach_into_a_box_on_its_images",
    "static_crossings": "geometry/test_predict_all.py::test_static_prediction_finds_what_brute_force_finds",
    "strong_above_background": "spots/test_threshold.py::test_same_pixels_as_definition",
    "sum_components": "spots/test_components.py::test_same_partition_and_sums_as_dense_labelling",
    "varying_crossings": "geometry/test_predict_all.py::test_varying_prediction_follows_a_turning_crystal",
    "weighted_correlations": "cosym/test_pairs.py::test_correlations_weighted_by_errors",
    "weighted_pair_sums": "cosym/test_pairs.py::test_correlations_weighted_by_errors",
}


def called_kernels() -> set[str]:
    """Kernels that modules without numba call; what a kernel calls is tested with it."""
    found: set[str] = set()
    for path in modules():
        if not path.name.endswith("_kernels.py"):
            nodes = list(ast.walk(tree(path)))
            taken = [n for n in nodes if isinstance(n, ast.ImportFrom)]
            own = {a.asname or a.name for n in taken for a in n.names if a.name.endswith("_kernels")}
            found.update(a.name for n in taken if (n.module or "").endswith("_kernels") for a in n.names)
            found.update(n.attr for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n.value) in own)
    return found & compiled()


@functools.cache
def compiled() -> frozenset[str]:
    return frozenset(
        node.name
        for path in modules()
        if path.name.endswith("_kernels.py")
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    )


def test_every_kernel_is_held_against_plain_numpy() -> None:
    named: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        if path != Path(__file__):
            named |= {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}
            named |= {n.attr for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)}
    kernels = called_kernels()
    assert len(kernels) > 50
    assert not kernels - named - HELD_AGAINST_NUMPY.keys(), "kernels without a test against plain numpy"
    assert not HELD_AGAINST_NUMPY.keys() - kernels, "no such kernels (any more)"


@pytest.mark.parametrize("test", sorted(set(HELD_AGAINST_NUMPY.values())))
def test_the_tests_of_kernels_exist(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in {n.name for n in tree(TESTS / file).body if isinstance(n, ast.FunctionDef)}
