"""What a user can set in ``mxdask index``; names as in DIALS' PHIL where it is the same thing."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mxdask.params import StepParams

Cell = tuple[float, float, float, float, float, float]


def _field(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class KnownSymmetry(StepParams):
    """What is known of the crystal."""

    space_group: str | None = _field(None, "Known space group, e.g. P212121; the cell is constrained to it.")
    unit_cell: Cell | None = _field(None, "Known cell a,b,c,alpha,beta,gamma: guides the search, then refined.", "Å, °")
    relative_length_tolerance: float = _field(0.1, "Accepted relative deviation of cell lengths.", gt=0)
    absolute_angle_tolerance: float = _field(5.0, "Accepted deviation of cell angles.", "°", gt=0)
    max_delta: float = _field(5.0, "Largest angular error of a lattice two-fold axis (Le Page).", "°", gt=0)

    @field_validator("space_group")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        import gemmi

        if value is not None and gemmi.find_spacegroup_by_name(value) is None:
            raise ValueError(f"{value!r} is not a space group (write it like P212121, or as a number)")
        return value


class MaxCellEstimation(StepParams):
    """Longest cell axis to look for, from distances between neighbouring spots."""

    multiplier: float = _field(1.3, "Factor on the estimate.", gt=0)
    max_height_fraction: float = _field(0.25, "Last histogram slot higher than this fraction of the highest counts.")
    nearest_neighbor_percentile: float | None = _field(None, "Use this percentile instead of the histogram.", "%")
    histogram_binning: Literal["log", "linear"] = _field("log", "Spacing of the histogram's slots.")
    nn_per_bin: int = _field(5, "Neighbour distances per histogram slot.", ge=1)
    step_size: float = _field(45.0, "Neighbours are looked for within this rotation.", "°", gt=0)
    filter_ice: bool = _field(True, "Leave out spots on ice rings.")
    filter_overlaps: bool = _field(True, "Leave out spots whose boxes overlap.")


class Fft3d(StepParams):
    """Search for periods by a three-dimensional Fourier transform of the reciprocal lattice points."""

    grid_points: int = _field(256, "Largest number of grid points per axis.", ge=32, le=512)
    d_min: float | None = _field(None, "Resolution of the points used; Auto from max_cell and the grid.", "Å")
    b_iso: float | None = _field(None, "Damping of high-resolution points; Auto from d_min.", "Å²")
    peak_cutoff: float = _field(
        0.01, "Lower peaks than this fraction of the origin peak are ignored (0.01: a tenth of the spots).", gt=0, lt=1
    )


class RealSpaceGridSearch(StepParams):
    """Search for lattice vectors of known length over all directions."""

    characteristic_grid: float = _field(0.02, "Angle between neighbouring directions.", "rad", gt=0)
    max_vectors: int = _field(30, "Directions that are followed up.", ge=3)
    max_spots: int = _field(400, "Spots used for the search (lowest resolution first).", ge=10)


class BasisVectors(StepParams):
    """Which candidate cells are made of the periods found."""

    max_combinations: int = _field(100, "Periods that are combined to cells.", ge=3)
    max_refine: int = _field(50, "Different lattices that are tried.", ge=1)
    sys_absent_threshold: float = _field(0.9, "Fraction of indices obeying a rule that shows the cell is too large.")
    solution_scorer: Literal["information", "weighted"] = _field(
        "information", "Candidates are ranked by bits gained per spot, or by DIALS' weighted score."
    )
    offset_search: float = _field(
        4.0, "Shift of the spots on the detector that a candidate may need (error of the beam centre).", "px", ge=0
    )


class LocalAssignment(StepParams):
    """Indices from differences between neighbouring spots."""

    epsilon: float = _field(0.05, "A difference of indices this far from whole numbers still counts as one.", gt=0)
    delta: float = _field(8.0, "Neighbours whose indices differ by more are not trusted.", ge=0)
    l_min: float = _field(0.8, "Edges of the tree of neighbours with at least this weight are cut.", gt=0, le=1)
    nearest_neighbours: int = _field(20, "Neighbours of each spot that are looked at.", ge=1)


class IndexAssignment(StepParams):
    """How spots get their indices while a lattice is refined."""

    method: Literal["simple", "local"] = _field(
        "simple", "The nearest node of the lattice, or passed on from spot to spot (for lattices that are badly off)."
    )
    local: LocalAssignment = LocalAssignment()


class RefinementProtocol(StepParams):
    """Cycles of assignment and refinement."""

    n_macro_cycles: int = _field(5, "Cycles while the resolution is extended.", ge=1)
    d_min_start: float | None = _field(None, "Resolution of the first cycle; Auto from the search.", "Å")
    d_min_final: float | None = _field(None, "Resolution of the last cycle; Auto all spots.", "Å")
    disable_unit_cell_volume_sanity_check: bool = _field(False, "Accept a cell whose volume changed by over half.")
    geometry_consensus: bool | None = _field(
        None, "Refine again with the detector's distance and orientation that the sweeps agree on; Auto: narrow sweeps."
    )
    metric_symmetry: bool | None = _field(
        None, "Constrain the cell to the lattice's symmetry while it is poorly determined; Auto if the data agree."
    )
    geometry_prior: bool = _field(
        True, "Hold beam and detector near the imported geometry as strongly as spots are too few to refine them."
    )


class MultipleLatticeSearch(StepParams):
    """Further crystals in the same sweep."""

    max_lattices: int | None = _field(
        1, "Lattices looked for in each sweep (together, if indexed jointly); Auto: as many as are worth it.", ge=1
    )
    recycle_unindexed_reflections_cutoff: float = _field(0.1, "Go on while this fraction of the spots is unindexed.")
    minimum_angular_separation: float = _field(5.0, "A new lattice must be turned at least so much.", "°", ge=0)
    min_spots: int = _field(60, "A further lattice must index at least so many spots.", ge=10)


class TwoPass(StepParams):
    """Second pass over many sweeps of one kind of crystal with their common cell."""

    mode: bool | None = _field(None, "Second pass with the consensus cell; Auto: from five sweeps on, not joint.")
    min_sweeps: int = _field(5, "Number of sweeps from which Auto means yes.", ge=2)
    length_tolerance: float = _field(0.05, "Relative deviation of lengths inside one cluster of cells.", gt=0)
    angle_tolerance: float = _field(1.5, "Deviation of angles inside one cluster of cells.", "°", gt=0)


class Indexing(StepParams):
    """The search for the lattice."""

    method: Literal["fft3d", "fft1d", "real_space_grid_search"] | None = _field(
        None, "How periods are searched for; Auto: fft3d, then (with a cell) real_space_grid_search."
    )
    joint_indexing: bool | None = _field(
        None, "All sweeps are one crystal (true), each sweep for itself (false), Auto: decided from the result."
    )
    hkl_tolerance: float = _field(0.3, "Largest distance from whole-number indices.", gt=0, lt=0.5)
    max_cell: float | None = _field(None, "Longest cell axis to look for; Auto from neighbouring spots.", "Å", gt=0)
    min_cell: float = _field(3.0, "Shortest cell axis.", "Å", gt=0)
    min_cell_volume: float = _field(25.0, "Smallest cell.", "Å³", gt=0)
    min_spots: int = _field(10, "Sweeps with fewer spots are not tried.", ge=6)
    min_indexed_fraction: float = _field(0.15, "A lattice must explain this fraction of the spots it could.", ge=0)
    sigma_phi_deg: float | None = _field(None, "Error of the angle of every spot; Auto from the spots.", "°")
    image_range: tuple[int, int] | None = _field(None, "Use only the spots of these images.", "image")
    retries: bool = _field(True, "Try other methods and cells when a sweep cannot be indexed.")
    known_symmetry: KnownSymmetry = KnownSymmetry()
    max_cell_estimation: MaxCellEstimation = MaxCellEstimation()
    fft3d: Fft3d = Fft3d()
    real_space_grid_search: RealSpaceGridSearch = RealSpaceGridSearch()
    basis_vector_combinations: BasisVectors = BasisVectors()
    index_assignment: IndexAssignment = IndexAssignment()
    refinement_protocol: RefinementProtocol = RefinementProtocol()
    multiple_lattice_search: MultipleLatticeSearch = MultipleLatticeSearch()
    two_pass: TwoPass = TwoPass()


class Params(StepParams):
    """Parameters of ``mxdask index``."""

    indexing: Indexing = Indexing()
