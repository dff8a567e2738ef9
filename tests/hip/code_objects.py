"""Compiles the HIP kernels for an architecture, offline, and keeps the code objects between runs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
CACHE = Path(os.environ.get("AULE_HIP_CACHE", Path.home() / ".cache" / "aule-attention" / "hip"))
CLANG = os.environ.get("AULE_HIP_CLANG", "clang-19")
FLAGS = (
    "-x", "hip", "-std=c++20", "--cuda-device-only", "-nogpuinc", "-nogpulib", "--no-gpu-bundle-output", "-O3",
    "-Wall", "-Wextra", "-Werror", f"-I{SOURCE}",
)  # fmt: skip


def variants(kind: str) -> list[tuple[str, ...]]:
    """The arguments of each AULE_HIP_<kind>(...) line of src/hip/variants.def, which says what the library embeds."""
    text = (SOURCE / "hip" / "variants.def").read_text()
    return [tuple(line.split(", ")) for line in re.findall(rf"^AULE_HIP_{kind}\((.*)\)$", text, re.MULTILINE)]


#: Our names of the element types, and the kernels'.
ELEMENTS = {name: element for element, _, name in variants("ELEMENT")}
#: Padded head sizes (head_dim_qk, head_dim_v) that kernels are compiled for, the cheapest first.
HEAD_DIMS = tuple((int(qk), int(v)) for qk, v in variants("HEAD_DIMS"))


@dataclass(frozen=True)
class Build:
    """What a code object is compiled from."""

    target: str
    source: str = "attention_forward"
    dtype: str = "float16"
    head_dim_qk: int = 64
    head_dim_v: int = 64
    flags: tuple[str, ...] = ()

    @property
    def defines(self) -> list[str]:
        """Preprocessor definitions of this variant."""
        return [
            f"-DAULE_ELEMENT={ELEMENTS[self.dtype]}",
            f"-DAULE_HEAD_DIM_QK={self.head_dim_qk}",
            f"-DAULE_HEAD_DIM_V={self.head_dim_v}",
            *self.flags,
        ]


def compiler() -> str | None:
    """The device compiler, if this machine has one."""
    return shutil.which(CLANG)


def padded_head_dims(head_dim_qk: int, head_dim_v: int) -> tuple[int, int]:
    """The smallest compiled pair that holds both."""
    for pair in HEAD_DIMS:
        if head_dim_qk <= pair[0] and head_dim_v <= pair[1]:
            return pair
    raise ValueError(f"head_dim ({head_dim_qk}, {head_dim_v}) is larger than any compiled one: {HEAD_DIMS[-1]}")


@lru_cache
def _sources() -> bytes:
    digest = hashlib.sha256()
    for path in sorted([*(SOURCE / "hip" / "kernels").iterdir(), *(SOURCE / "kernels").iterdir()]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.digest()


def compile_kernels(build: Build) -> Path:
    """The path of the code object, compiled if it is not in the cache."""
    command = [CLANG, *FLAGS, f"--offload-arch={build.target}", *build.defines]
    source = SOURCE / "hip" / "kernels" / f"{build.source}.hip"
    key = hashlib.sha256(_sources() + "\0".join(command).encode()).hexdigest()[:20]
    path = CACHE / f"{build.source}.{build.target}.{key}.co"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        done = subprocess.run([*command, str(source), "-o", str(partial)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        partial.rename(path)
    return path


def struct_fields(header: str, name: str) -> list[tuple[str, str]]:
    """(type, member) pairs of a structure in a header below src/: the host's and the kernels' one source."""
    text = re.sub(r"//[^\n]*", "", (SOURCE / header).read_text())
    found = re.search(rf"struct {name} \{{(.*?)\}};", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{header} has no structure {name}")
    fields = []
    for line in found[1].split(";"):
        words = re.fullmatch(r"\s*((?:const\s+)?[\w:]+)\s*(.*)", line, re.DOTALL)
        if words is None or not line.strip():
            continue
        for member in words[2].split(","):
            pointer = "*" if "*" in member else ""
            fields.append((words[1] + pointer, member.replace("*", "").strip()))
    return fields
