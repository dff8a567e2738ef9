"""Checks an installed aule and its wheel, where there is neither PyTorch nor NumPy. Usage: check_wheel.py WHEEL."""

import array
import math
import subprocess
import sys
import time
import zipfile

FORBIDDEN = (".cpp", ".hpp", ".h", ".a", ".cmake", ".cc")


def check_contents(wheel: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    unexpected = [
        name for name in names if name.endswith(FORBIDDEN) or not name.startswith(("aule/", "aule_attention-"))
    ]
    assert not unexpected, f"the wheel holds what it should not: {unexpected}"
    for needed in ("aule/py.typed", "aule/__init__.py"):
        assert needed in names, f"the wheel has no {needed}"
    assert any(name.startswith("aule/_core") and name.endswith(".so") for name in names), (
        "the wheel has no aule/_core*.so"
    )
    assert any("licenses/" in name and "highway" in name for name in names), "the wheel has no licence of Highway"


def check_import() -> None:
    """Quiet, quick, and without PyTorch or NumPy."""
    code = "import time; t = time.perf_counter(); import aule; print((time.perf_counter() - t) * 1e3)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    best = min(float(run.stdout) for run in runs)
    assert all(run.stderr == "" and len(run.stdout.splitlines()) == 1 for run in runs), "import aule prints something"
    assert best < 50, f"import aule took {best:.0f} ms, expected under 50"
    print(f"import aule: {best:.1f} ms")


def check_result() -> None:
    """Two keys with equal scores: the mean of their values."""
    from aule import _core

    def tensor(values: array.array, sizes: tuple[int, ...]) -> tuple:
        strides = tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
        return values.buffer_info()[0], 0, sizes, strides

    q, k = array.array("f", [1.0, 0.0]), array.array("f", [0.0, 1.0, 0.0, 2.0])
    v, out = array.array("f", [1.0, 3.0, 3.0, 5.0]), array.array("f", [0.0, 0.0])
    start = time.perf_counter()
    _core.attention_forward(
        tensor(q, (1, 1, 1, 2)), tensor(k, (1, 1, 2, 2)), tensor(v, (1, 1, 2, 2)), tensor(out, (1, 1, 1, 2)),
        None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "", 0,
    )  # fmt: skip
    assert out.tolist() == [2.0, 4.0], f"expected [2.0, 4.0], got {out.tolist()}"
    print(f"first call: {(time.perf_counter() - start) * 1e3:.1f} ms")


for unwanted in ("torch", "numpy"):
    try:
        __import__(unwanted)
    except ImportError:
        continue
    sys.exit(f"{unwanted} is installed here: this check is about an environment without it")
check_contents(sys.argv[1])
check_import()
check_result()
print("the wheel is as it should be")
