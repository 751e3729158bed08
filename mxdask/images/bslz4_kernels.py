# mypy: allow-untyped-defs, allow-untyped-calls
"""Check of a bitshuffle-LZ4 chunk before it is handed to a C decoder that trusts its block lengths."""

from __future__ import annotations

from mxdask._jit import jit


@jit
def blocks_fit(chunk, n_elements, item_size, block_elements):
    """Whether the chain of LZ4 blocks ends exactly at the end of the chunk.

    A chunk is a 12-byte header, then per block a big-endian length and that many bytes; elements beyond the last
    multiple of eight are stored as they are (bitshuffle's documented layout).

    Parameters
    ----------
    chunk : (n,) uint8, the stored chunk with its header.
    n_elements, item_size, block_elements : of the unpacked data.
    """
    full = n_elements // block_elements
    rest = n_elements % block_elements
    left_over = rest % 8
    n_blocks = full + (1 if rest - left_over > 0 else 0)
    p = 12
    for _ in range(n_blocks):
        if p + 4 > chunk.size:
            return False
        length = (int(chunk[p]) << 24) | (int(chunk[p + 1]) << 16) | (int(chunk[p + 2]) << 8) | int(chunk[p + 3])
        p += 4 + length
    return p + left_over * item_size == chunk.size
