"""What the user can set for multiplex; names as in ``xia2.multiplex`` where it is the same thing (back.md 16)."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import Field

from mxdask.cosym import params as cosym_params
from mxdask.merge import params as merge_params
from mxdask.params import StepParams
from mxdask.scale import params as scale_params


class UnitCellClustering(StepParams):
    """Crystal forms: crystals whose cells belong together."""

    threshold: float | None = Field(
        None, gt=0, description="distance at which the tree of cells is cut; Auto: by how well the cells are known",
        json_schema_extra={"unit": "Å²"},
    )  # fmt: skip


class Symmetry(StepParams):
    """Symmetry of all crystals of a form."""

    space_group: str | None = Field(None, description="known space group; Auto: found by cosym")


class Resolution(StepParams):
    """How far data are merged."""

    d_min: float | None = Field(
        None,
        gt=0,
        description="high-resolution limit; Auto: where CC½ of the data set falls to cc_half",
        json_schema_extra={"unit": "Å"},
    )
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    cc_half: float | None = Field(0.3, gt=0, lt=1, description="CC½ at the resolution limit; None: all data")


class DeltaCCHalf(StepParams):
    """Filtering by ΔCC½: what makes the mean worse is left out."""

    mode: Literal["dataset", "image_group"] = Field("image_group", description="leave out crystals or groups of images")
    group_size: int = Field(10, ge=1, description="images of a group")
    max_cycles: int = Field(6, ge=1, description="most rounds of scaling and leaving out")
    max_percent_removed: float = Field(10.0, gt=0, le=100, description="stop when more observations than this are gone")
    min_completeness: float | None = Field(
        None, ge=0, le=100, description="stop before completeness falls below this", json_schema_extra={"unit": "%"}
    )
    stdcutoff: float = Field(4.0, gt=0, description="standard deviations below the mean ΔCC½")
    robust: bool = Field(True, description="median and median deviation in place of mean and standard deviation")


class Filtering(StepParams):
    """Leaving out what does not agree with its group."""

    method: Literal["deltacchalf", "none"] = Field("deltacchalf", description="deltacchalf, or none")
    deltacchalf: DeltaCCHalf = DeltaCCHalf()


class Clustering(StepParams):
    """Which groups become data sets."""

    output_clusters: bool = Field(True, description="scale and merge every group in a folder of its own")
    min_cluster_size: int = Field(2, ge=1, description="crystals of a group that is worth a data set")
    min_completeness: float = Field(
        0.0, ge=0, le=100, description="least completeness", json_schema_extra={"unit": "%"}
    )
    min_multiplicity: float = Field(0.0, ge=0, description="least multiplicity")
    weak_crystals: bool = Field(False, description="merge crystals with less than a quarter of the others' ⟨I/σ⟩, too")
    max_output_clusters: int = Field(10, ge=1, description="most data sets, the largest groups first")


class RFreeFlags(StepParams):
    """Test set, the same for every data set of one symmetry."""

    generate: bool = Field(True, description="write FreeR_flag")
    fraction: float = Field(0.05, gt=0, lt=0.5, description="fraction of reflections in the test set")


class Output(StepParams):
    """Files."""

    unmerged: bool = Field(True, description="write scaled.mtz (unmerged) as well")
    reflections: bool = Field(True, description="write scaled.expt and scaled.refl of every data set")
    html: str | None = Field("multiplex.html", description="the report; None: no report")


class Params(StepParams):
    """Parameters of ``mxdask multiplex``."""

    unit_cell_clustering: UnitCellClustering = UnitCellClustering()
    symmetry: Symmetry = Symmetry()
    resolution: Resolution = Resolution()
    filtering: Filtering = Filtering()
    clustering: Clustering = Clustering()
    r_free_flags: RFreeFlags = RFreeFlags()
    max_relative_sigma: float | None = Field(
        4.0, gt=0, description="leave out of merged data what only a far weaker crystal saw, as process; None keeps all"
    )
    decisions: str | None = Field(
        None, description="table of decisions to honour; Auto: decisions.csv in the output folder, if there"
    )
    duplicates: bool = Field(True, description="use a sweep that is given twice only once")
    output: Output = Output()
    seed: int | None = Field(
        None, ge=0, description="seed of cosym and scale, where they are given none of their own; Auto: their defaults"
    )
    cosym: cosym_params.Params = cosym_params.Params()
    scale: scale_params.Params = scale_params.Params()
    merge: merge_params.Params = merge_params.Params()


Own = TypeVar("Own", cosym_params.Params, scale_params.Params)


def seeded(own: Own, params: Params) -> Own:
    """A step's parameters with the seed of all, unless it was given one of its own."""
    if params.seed is None or "seed" in own.model_fields_set:
        return own
    return own.model_copy(update={"seed": params.seed})
