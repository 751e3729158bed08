"""The same files through ours and DIALS' programs: columns and models equal."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sweeps import several

from mxdask.cli import main
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl, write_refl

pytestmark = pytest.mark.dials


@pytest.fixture
def written(tmp_path):
    experiments, table = several(2, 40)
    varying = experiments[0].crystal.with_A(
        experiments[0].crystal.A,
        A_at_scan_points=np.array([experiments[0].crystal.A * (1 + 1e-5 * k) for k in range(101)]),
    )
    identifiers = [f"{i}" * 8 + "-0000-0000-0000-000000000000" for i in range(2)]
    rows = [experiments[0].evolve(crystal=varying), experiments[1]]
    experiments = experiments.with_experiments([e.evolve(identifier=s) for e, s in zip(rows, identifiers, strict=True)])
    table.identifiers = dict(enumerate(identifiers))
    write_expt(tmp_path / "a.expt", experiments)
    write_refl(tmp_path / "a.refl", table)
    return tmp_path


@pytest.mark.parametrize(
    ("program", "words", "outputs"),
    [
        ("reindex", ["change_of_basis_op=b,c,a"], ("reindexed.expt", "reindexed.refl")),
        ("slice_sequence", ["image_range=11,40", "image_range=21,100"], ("a_sliced.expt", "a_sliced.refl")),
        ("split_experiments", [], ("split_0.expt", "split_1.refl")),
    ],
)
def test_same_files(written, dials, program, words, outputs):
    theirs, ours = written / "theirs", written / "ours"
    theirs.mkdir()
    dials(program, "../a.expt", "../a.refl", *words, cwd=theirs)
    assert main([program, str(written / "a.expt"), str(written / "a.refl"), *words, "--output-dir", str(ours)]) == 0
    a, b = (read_refl(folder / outputs[1]) for folder in (theirs, ours))
    assert a.identifiers == b.identifiers
    assert set(a) == set(b)
    for name in a:
        assert np.array_equal(a[name], b[name]), name
    for p, q in zip(read_expt(theirs / outputs[0]), read_expt(ours / outputs[0]), strict=True):
        assert p.identifier == q.identifier
        assert p.scan.image_range == q.scan.image_range
        assert np.allclose(p.crystal.real_space, q.crystal.real_space, atol=1e-9)
        assert (p.crystal.A_at_scan_points is None) == (q.crystal.A_at_scan_points is None)
        if p.crystal.A_at_scan_points is not None:
            assert np.allclose(p.crystal.A_at_scan_points, q.crystal.A_at_scan_points, atol=1e-12)
    assert "Crystal" in dials("show", ours / outputs[0], cwd=written)
