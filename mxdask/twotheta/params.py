"""What a user can set in two_theta_refine; names are DIALS'."""

from __future__ import annotations

from pydantic import Field

from mxdask.params import StepParams


class Output(StepParams):
    experiments: str = Field("refined_cell.expt", description="The experiments with the cells found")
    cif: str | None = Field(None, description="Write cell and esds as CIF to this file")
    mmcif: str | None = Field(None, description="Write cell and esds as mmCIF to this file")
    p4p: str | None = Field(None, description="Write cell and esds as .p4p (SHELX, XPREP) to this file")


class Refinement(StepParams):
    filter_integrated_centroids: bool = Field(
        True, description="Where reflections are integrated, use those alone that are also strong spots"
    )
    partiality_threshold: float | None = Field(
        0.4, ge=0, le=1, description="Use reflections with a larger part recorded; None: all"
    )
    combine_crystal_models: bool = Field(True, description="One cell for all crystals; False: one each")
    triclinic: bool = Field(False, description="Leave out the symmetry: six free parameters of the primitive cell")


class Params(StepParams):
    refinement: Refinement = Refinement()
    output: Output = Output()
