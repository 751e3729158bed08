"""What the user can set for export; names as in DIALS where it is the same thing (back.md 15.2)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mxdask.params import StepParams


class MtzParams(StepParams):
    """Which observations are exported (to every format), and the names in an MTZ file."""

    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    combine_partials: bool = Field(True, description="join the pieces of a reflection")
    partiality_threshold: float = Field(0.4, ge=0, le=1, description="least recorded fraction, after joining")
    min_isigi: float = Field(-5.0, description="observations with lower I/σ(I) are left out")
    force_static_model: bool = Field(False, description="batches all have the cell and orientation of the static model")
    filter_ice_rings: bool = Field(False, description="leave out reflections on ice rings")
    best_unit_cell: tuple[float, float, float, float, float, float] | None = Field(
        None, description="cell for the file; None: the median of the crystals", json_schema_extra={"unit": "Å, °"}
    )
    hklout: str | None = Field(None, description="file; Auto: scaled.mtz or integrated.mtz")
    project_name: str = Field("DIALS", description="project")
    crystal_name: str = Field("XTAL", description="crystal")
    dataset_name: str = Field("FROMDIALS", description="data set")


class XdsAsciiParams(StepParams):
    """XDS_ASCII, one file for each experiment."""

    hklout: str = Field("DIALS.HKL", description="file; with several experiments DIALS_0.HKL, DIALS_1.HKL ...")


class MmcifParams(StepParams):
    """Unmerged data for deposition."""

    hklout: str | None = Field(None, description="file; Auto: scaled.cif or integrated.cif")
    compress: Literal["gz", "bz2", "xz"] | None = Field(None, description="compression, added to the name")
    pdb_version: Literal["v5", "v5_next"] = Field("v5", description="dictionary; v5_next adds cells and scans")


class ShelxParams(StepParams):
    """HKLF 4 data and the instructions to begin with."""

    hklout: str = Field("dials.hkl", description="reflections")
    ins: str = Field("dials.ins", description="cell, symmetry, composition")
    composition: str = Field("CH", description="elements, with numbers in the asymmetric unit if known: C3H7NO2S")
    scale: bool = Field(True, description="scale the intensities to use all digits of the format")
    scale_range: tuple[float, float] = Field((-9999.0, 9999.0), description="range of the scaled intensities")


class ScaParams(StepParams):
    """Scalepack."""

    hklout: str | None = Field(None, description="file; Auto: scaled.sca or scaled_unmerged.sca")
    merged: bool = Field(False, description="merged intensities, Friedel mates apart")


class JsonParams(StepParams):
    """Reciprocal lattice points for viewers."""

    filename: str = Field("rlp.json", description="file")
    compact: bool = Field(True, description="one line without blanks")
    n_digits: int = Field(6, ge=1, description="decimals of the points")


class ExportParams(StepParams):
    """Export to an unmerged MTZ file, as ``process`` does it."""

    mtz: MtzParams = MtzParams()


class Params(ExportParams):
    """Parameters of ``mxdask export``."""

    format: Literal["mtz", "mmcif", "xds_ascii", "shelx", "sca", "json"] = Field("mtz", description="kind of file")
    intensity: Literal["auto", "scale", "profile", "sum", "profile+sum"] = Field(
        "auto", description="which intensities; auto: scaled if there are any (xds_ascii: profile-fitted)"
    )
    xds_ascii: XdsAsciiParams = XdsAsciiParams()
    mmcif: MmcifParams = MmcifParams()
    shelx: ShelxParams = ShelxParams()
    sca: ScaParams = ScaParams()
    rlp_json: JsonParams = JsonParams()
