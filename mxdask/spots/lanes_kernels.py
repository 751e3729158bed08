# mypy: allow-untyped-defs, allow-untyped-calls
"""The inner steps of the threshold on 16 or 32 pixels at a time, written as vector instructions of LLVM.

Numba computes sums of narrow integers in 64 bits, and LLVM does not always find its way back: the loops these replace
took two to three times longer. Vectors of LLVM are the same on every machine; it cuts them to what the processor has.
Nothing is checked here: callers keep ``at`` and the lengths of the arrays right.
"""

from __future__ import annotations

from functools import reduce

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

# Pixels per call of enter_lanes and window_lanes, and of background_lanes.
LANES, NARROW_LANES = 32, 16

_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()


def _vector(element, lanes=LANES):
    return ir.VectorType(element, lanes)


def _spread(builder, value, lanes=LANES):
    """The vector whose elements all are ``value``."""
    kind = _vector(value.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_vector(_I32, lanes), [0] * lanes))


def _place(context, builder, kind, array, at, vector):
    """Address of element ``at`` of a contiguous array, as that of a vector."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _load(context, builder, kind, array, at, lanes=LANES):
    vector = _vector(context.get_data_type(kind.dtype), lanes)
    loaded = builder.load(_place(context, builder, kind, array, at, vector))
    loaded.align = kind.dtype.bitwidth // 8
    return loaded


def _store(context, builder, kind, array, at, value):
    builder.store(value, _place(context, builder, kind, array, at, value.type)).align = kind.dtype.bitwidth // 8


def _resize(builder, value, element, lanes=LANES):
    """Unsigned integers in another width."""
    have = value.type.element.width
    if have == element.width:
        return value
    return (builder.zext if have < element.width else builder.trunc)(value, _vector(element, lanes))


@intrinsic
def enter_lanes(typingctx, raw, valid, at, low, high, memory, slot, column_x, column_y, column):
    """Let 32 pixels from ``at`` on take the place of those in ``memory``; the sums of their columns follow.

    ``at``, ``slot``, ``column`` are flat indices into the arrays before them.

    Pixels outside low..high, compared as unsigned numbers, count as 0. A second call with the same pixels changes
    nothing. Returns u4, bit i set if pixel at + i is valid and outside.
    """
    signature = types.uint32(
        raw, valid, types.intp, types.uint32, types.uint32, memory, types.intp, column_x, column_y, types.intp
    )

    def generate(context, builder, signature, args):
        kinds, zero = signature.args, ir.Constant
        at, slot, column, pixel = args[2], args[6], args[9], context.get_data_type(raw.dtype)
        values = _load(context, builder, kinds[0], args[0], at)
        good = builder.icmp_unsigned("!=", _load(context, builder, kinds[1], args[1], at), zero(_vector(_I8), None))
        lowest, highest = (_spread(builder, _as_pixel(builder, a, pixel)) for a in args[3:5])
        inside = builder.and_(builder.icmp_unsigned(">=", values, lowest), builder.icmp_unsigned("<=", values, highest))
        taken = builder.select(builder.and_(good, inside), values, zero(_vector(pixel), None))
        new = _resize(builder, taken, context.get_data_type(memory.dtype))
        old = _load(context, builder, kinds[5], args[5], slot)
        _store(context, builder, kinds[5], args[5], slot, new)
        change = builder.sub(new, old)
        for k, more in ((7, change), (8, builder.mul(change, builder.add(new, old)))):
            before = _load(context, builder, kinds[k], args[k], column)
            _store(context, builder, kinds[k], args[k], column, builder.add(before, more))
        return builder.bitcast(builder.and_(good, builder.not_(inside)), ir.IntType(LANES))

    return signature, generate


def _as_pixel(builder, value, pixel):
    return builder.trunc(value, pixel) if pixel.width < value.type.width else value


@intrinsic(prefer_literal=True)
def window_lanes(typingctx, n_columns, column_x, column_y, box_x, box_y, at, inverse, excess, offset, margin):
    """Sums of ``n_columns`` (a constant) neighbouring columns for 32 pixels from ``at`` on; where y is high for x.

    With r = x·(x·inverse + excess) and l = 1 − margin: bit i of the u8 returned is set if y > l·r − offset, and bit
    32 + i if l·y > r. The sums go to ``box_x``, ``box_y``.
    """
    if not isinstance(n_columns, types.IntegerLiteral):
        return None
    count = n_columns.literal_value
    signature = types.uint64(
        n_columns, column_x, column_y, box_x, box_y, types.intp,
        types.float32, types.float32, types.float32, types.float32,
    )  # fmt: skip

    def generate(context, builder, signature, args):
        kinds, at, sums = signature.args, args[5], []
        for k in (1, 2):
            shifted = (builder.add(at, ir.Constant(at.type, j)) for j in range(count))
            sums.append(reduce(builder.add, [_load(context, builder, kinds[k], args[k], j) for j in shifted]))
        for k, total in zip((3, 4), sums, strict=True):
            _store(context, builder, kinds[k], args[k], at, total)
        x, y = (builder.uitofp(_resize(builder, total, _I32), _vector(_F32)) for total in sums)
        inverse, excess, offset, margin = (_spread(builder, a) for a in args[6:])
        limit = builder.fmul(x, builder.fadd(builder.fmul(x, inverse), excess))
        less = builder.fsub(ir.Constant(_vector(_F32), [1.0] * LANES), margin)
        maybe = builder.fcmp_ordered(">", y, builder.fsub(builder.fmul(less, limit), offset))
        surely = builder.fcmp_ordered(">", builder.fmul(less, y), limit)
        words = [builder.zext(builder.bitcast(flags, ir.IntType(LANES)), _I64) for flags in (maybe, surely)]
        return builder.or_(words[0], builder.shl(words[1], ir.Constant(_I64, LANES)))

    return signature, generate


@intrinsic
def background_lanes(typingctx, raw, background, at, n_rows, step, number, total, column):
    """Number and sum of the background pixels in each of 16 columns, over n_rows rows, ``step`` apart, from ``at`` on.

    ``raw`` and ``background`` (0 or 1) are flat; the i4 results go to ``number`` and ``total`` from ``column`` on.
    """
    signature = types.void(raw, background, types.intp, types.intp, types.intp, number, total, types.intp)

    def generate(context, builder, signature, args):
        kinds, vector = signature.args, _vector(_I32, NARROW_LANES)
        at, n_rows, step, column = args[2], args[3], args[4], args[7]
        before = builder.block
        loop, done = builder.append_basic_block("rows"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        row, place = builder.phi(at.type), builder.phi(at.type)
        sums = [builder.phi(vector), builder.phi(vector)]
        used = _load(context, builder, kinds[1], args[1], place, NARROW_LANES)
        values = _resize(builder, _load(context, builder, kinds[0], args[0], place, NARROW_LANES), _I32, NARROW_LANES)
        nothing = ir.Constant(vector, None)
        is_used = builder.icmp_unsigned("!=", used, ir.Constant(used.type, None))
        grown = [
            builder.add(sums[0], builder.zext(used, vector)),
            builder.add(sums[1], builder.select(is_used, values, nothing)),
        ]
        next_row, next_place = builder.add(row, ir.Constant(row.type, 1)), builder.add(place, step)
        for phi, start, following in zip(
            (row, place, *sums), (ir.Constant(row.type, 0), at, nothing, nothing), (next_row, next_place, *grown),
            strict=True,
        ):  # fmt: skip
            phi.add_incoming(start, before)
            phi.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", next_row, n_rows), loop, done)
        builder.position_at_end(done)
        for k, value in zip((5, 6), grown, strict=True):
            _store(context, builder, kinds[k], args[k], column, value)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def lowest_bit(typingctx, word):
    """Number of the lowest bit set in a u8 that is not 0."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate
