"""The code that the library embeds for an architecture is what a compiler for that architecture would accept."""

from __future__ import annotations

import itertools
import re
import struct
import subprocess
from pathlib import Path

import pytest
from code_objects import CLANG, ELEMENTS, FLAGS, SOURCE, Build, compile_kernels, compiler, variants

pytestmark = pytest.mark.skipif(compiler() is None, reason=f"{CLANG} is not installed")

RELATIVES = [(name, target, int(machine, 16)) for name, target, machine in variants("RELATIVE")]


def sections(elf: bytes) -> dict[str, bytes]:
    """Contents of an ELF file's sections by name."""
    offset = struct.unpack_from("<Q", elf, 40)[0]
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(count)]
    table = headers[names][4]
    return {
        elf[table + header[0] : elf.index(b"\0", table + header[0])].decode(): elf[header[4] : header[4] + header[5]]
        for header in headers
        if header[1] != 8  # no bits
    }


def assembly(build: Build, folder: Path) -> str:
    """The target's code as text: what the assembler of another architecture is asked to take."""
    path = folder / "code.s"
    source = SOURCE / "hip" / "kernels" / f"{build.source}.hip"
    flags = [flag for flag in FLAGS if flag != "--no-gpu-bundle-output"]
    subprocess.run(
        [CLANG, *flags, "-S", f"--offload-arch={build.target}", *build.defines, str(source), "-o", str(path)],
        check=True,
    )
    return path.read_text()


def assemble(text: str, name: str, folder: Path) -> bytes:
    path, output = folder / f"{name}.s", folder / f"{name}.o"
    path.write_text(re.sub(r"amdgcn-amd-amdhsa--gfx\w+", f"amdgcn-amd-amdhsa--{name}", text))
    subprocess.run(
        [CLANG, "-target", "amdgcn-amd-amdhsa", f"-mcpu={name}", "-c", str(path), "-o", str(output)], check=True
    )
    return output.read_bytes()


@pytest.mark.parametrize(
    ("source", "dtype"),
    [("attention_forward", "float16")]
    + [
        pytest.param(f"attention_{source}", dtype, marks=pytest.mark.slow)
        for source, dtype in itertools.product(("forward", "backward", "combine", "delta"), ELEMENTS)
        if (source, dtype) != ("forward", "float16")
    ],
)
@pytest.mark.parametrize("target", sorted({target for _, target, _ in RELATIVES}))
def test_relatives_have_the_same_instructions(target: str, source: str, dtype: str, tmp_path: Path) -> None:
    """A relative's assembler takes every instruction of the target's code, and encodes it in the same bits."""
    text = assembly(Build(target, source, dtype), tmp_path)
    own = sections(assemble(text, target, tmp_path))
    for name in (name for name, of, _ in RELATIVES if of == target):
        other = sections(assemble(text, name, tmp_path))
        assert other[".text"] == own[".text"] and len(own[".text"]) > 500, name
        # Kernel descriptors: registers, LDS, scratch and modes are given in the same units.
        assert other[".rodata"] == own[".rodata"], name


@pytest.mark.parametrize(("name", "target", "machine"), RELATIVES)
def test_elf_machines(name: str, target: str, machine: int, tmp_path: Path) -> None:
    """What the library writes into a header is what the compiler would, and names have one length."""
    source = tmp_path / "probe.hip"
    source.write_text('extern "C" __attribute__((global)) void probe() {}\n')
    flags = ["-x", "hip", "--cuda-device-only", "-nogpuinc", "-nogpulib", "--no-gpu-bundle-output"]
    flags_of = {}
    for each in (name, target):
        subprocess.run(
            [CLANG, *flags, f"--offload-arch={each}", "-c", str(source), "-o", str(source) + ".o"], check=True
        )
        flags_of[each] = struct.unpack_from("<I", Path(f"{source}.o").read_bytes(), 48)[0]
    assert flags_of[name] & 0xFF == machine
    assert flags_of[name] ^ flags_of[target] < 0x100, "nothing but the machine differs"
    assert len(name) == len(target)


def test_code_objects_are_shared_objects() -> None:
    elf = compile_kernels(Build("gfx1100", "attention_combine")).read_bytes()
    assert elf[:4] == b"\x7fELF" and struct.unpack_from("<H", elf, 16)[0] == 3
