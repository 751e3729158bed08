"""What the user can set for merging; names as in DIALS where it is the same thing (back.md 15.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class MergingParams(StepParams):
    """Merging statistics."""

    n_bins: int = Field(20, ge=1, description="resolution shells")


class FrenchWilson(StepParams):
    """Amplitudes."""

    implementation: Literal["posterior", "dials"] = Field(
        "posterior",
        description="posterior: means of the posterior distribution; dials: as DIALS 3.12, for comparison",
    )
    min_reflections: int = Field(200, ge=1, description="with fewer the prior is flat")
    fallback_to_flat_prior: bool = Field(True, description="with too few reflections; otherwise that is an error")


class RFreeFlags(StepParams):
    """Test set for refinement: made from the indices, so the same for every file of one crystal form, or copied."""

    generate: bool = Field(False, description="write FreeR_flag (CCP4: the test set is 0)")
    fraction: float = Field(0.05, gt=0, lt=0.5, description="fraction of reflections in the test set")
    reference: str | None = Field(
        None, description="MTZ file whose flags are copied; reflections it does not have are flagged from their indices"
    )
    extend: bool = Field(True, description="flag reflections that the reference does not have; otherwise left empty")


class OutputNames(StepParams):
    """Files, and the names inside the MTZ file."""

    mtz: str = Field("merged.mtz", description="merged data (in process always merged.mtz)")
    html: str | None = Field("merge.html", description="page of statistics (in process part of report.html)")
    mmcif: str | None = Field(None, description="the same as mmCIF for deposition, e.g. merged.mmcif")
    additional_stats: bool = Field(False, description="write the means of two random halves, IHALF1 and IHALF2")
    project_name: str = Field("AUTOMATIC", description="project")
    crystal_names: tuple[str, ...] = Field(("XTAL",), description="crystal, one for each wavelength")
    dataset_names: tuple[str, ...] = Field(("NATIVE",), description="data set, one for each wavelength")


class Params(StepParams):
    """Parameters of ``mxdask merge``."""

    assess_space_group: bool = Field(True, description="tell what absences say of the space group; changes nothing")
    anomalous: bool = Field(True, description="write Friedel mates apart as well")
    truncate: bool = Field(True, description="amplitudes by the method of French & Wilson")
    french_wilson: FrenchWilson = FrenchWilson()
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    combine_partials: bool = Field(True, description="join the pieces of a reflection")
    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction, after joining")
    best_unit_cell: tuple[float, ...] | None = Field(
        None, description="cell for the file; None: the median of the crystals", json_schema_extra={"unit": "Å, °"}
    )
    wavelength_tolerance: float = Field(
        1e-4, ge=0, description="wavelengths nearer than this are one", json_schema_extra={"unit": "Å"}
    )
    max_relative_sigma: float | None = Field(
        None, gt=0, description="leave out reflections whose error is above this times the mean intensity around them"
    )
    n_residues: float = Field(200.0, gt=0, description="of the asymmetric unit: for the scale of the Wilson plot")
    merging: MergingParams = MergingParams()
    r_free_flags: RFreeFlags = RFreeFlags()
    output: OutputNames = OutputNames()
    seed: int = Field(42, ge=0, description="seed of the half sets of CC½")
