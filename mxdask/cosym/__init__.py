"""cosym: one indexing setting for many crystals, and their Laue group (Brehm & Diederichs 2014)."""
