"""Kernels compiled for GPUs that are not there."""

import inspect
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CUOBJDUMP = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
POINTERS = dict(float32='*fp32', float16='*fp16', bfloat16='*bf16')
FLOATS = {'log2e_over_tau', 'tau', 'scale'}


class Compiled(NamedTuple):
    """What a program needs: registers a thread, the rest in bytes."""

    registers: int
    spilled: int
    shared: int
    ptx: str


def compiled(
    kernel, capability, folder, *, maps, sums, constants, warps=4, stages=3
):
    """Compile a kernel whose numbers are all multiples of 16.

    Args:
        maps: Pointers to maps, by name, with their dtypes.
        sums: Names of pointers to float32.
        constants: Values of what is fixed when compiling, steps of 1 too.
    """
    names = kernel.arg_names
    types = dict.fromkeys(names, 'i32')
    types.update({x: 'fp32' for x in names if x in FLOATS})
    types.update({x: POINTERS[dtype] for x, dtype in maps.items()})
    types.update(dict.fromkeys(sums, '*fp32'))
    types.update(dict.fromkeys(constants, 'constexpr'))
    assert list(types) == names
    result = triton.compile(
        source_of(kernel, types, constants),
        target=GPUTarget('cuda', capability, 32),
        options=dict(num_warps=warps, num_stages=stages),
    )
    registers, spilled = usage(result.asm['cubin'], folder)
    return Compiled(
        registers, spilled, result.metadata.shared, result.asm['ptx']
    )


def source_of(kernel, types, constants):
    """What Triton compiles: types by name, and the values of constants."""
    names = list(types)
    aligned = [
        place
        for place, name in enumerate(names)
        if types[name] not in ('fp32', 'constexpr')
    ]
    if 'constexprs' not in inspect.signature(ASTSource).parameters:
        # Triton 3.2, which torch 2.6 pins.
        from triton.backends.compiler import AttrsDescriptor

        hints = AttrsDescriptor.from_hints(dict.fromkeys(aligned, 16))
        return ASTSource(kernel, types, constants, hints)
    return ASTSource(
        kernel,
        signature=types,
        constexprs={(names.index(x),): v for x, v in constants.items()},
        attrs={(place,): [['tt.divisibility', 16]] for place in aligned},
    )


def usage(binary, folder):
    """Registers a thread and bytes a thread keeps elsewhere."""
    path = folder / 'kernel.cubin'
    path.write_bytes(binary)
    printed = subprocess.run(
        [CUOBJDUMP, '--dump-resource-usage', path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r'REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)', printed)
    registers, stack, local = map(int, found.groups())
    return registers, stack + local
