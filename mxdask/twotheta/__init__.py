"""The average unit cell from scattering angles of integrated reflections (front.md 12.9)."""
