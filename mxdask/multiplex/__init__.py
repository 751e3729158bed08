"""From integrated crystals to the data sets they really are.

``run`` leads: crystals are looked at (``crystals``, ``duplicates``), sorted by cell (``forms``), brought to one setting
and scale, grouped by intensities (``grouping``), and every group is scaled, filtered (``filtering``) and merged in a
folder of its own (``dataset``). What became of each crystal, and what the user wants instead, is in ``decisions``.
"""
