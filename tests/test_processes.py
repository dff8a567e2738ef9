"""Threads at once, the interpreter's lock, and fork."""

from __future__ import annotations

import textwrap
import threading

import pytest
import torch

import aule
from sdpa_tools import qkv, randn, run_python


def test_eight_threads_get_equal_bits() -> None:
    """Different calls at once, forward and backward: the bits of each are those it gives alone."""

    def work(index: int) -> list[torch.Tensor]:
        leaves = [tensor.requires_grad_() for tensor in qkv(heads_kv=2, seq_q=40 + index, seq_k=70, dim=16)]
        out = aule.flash_attention(*leaves, is_causal=index % 2 == 0, enable_gqa=True, softcap=float(index % 3))
        return [out.detach(), *torch.autograd.grad(out, leaves, randn(*out.shape, seed=9))]

    expected = [work(index) for index in range(8)]
    wrong: list[str] = []
    barrier = threading.Barrier(8)

    def run(index: int) -> None:
        barrier.wait()
        try:
            for _ in range(10):
                for result, reference in zip(work(index), expected[index], strict=True):
                    assert torch.equal(result, reference)
        except BaseException as error:
            wrong.append(f"thread {index}: {error!r}")

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_interpreter_runs_on_during_a_call() -> None:
    """The core works without the interpreter's lock: another thread counts meanwhile."""
    count, stop = 0, threading.Event()

    def tick() -> None:
        nonlocal count
        while not stop.wait(0.0005):
            count += 1

    tensors = qkv((1,), heads=4, seq_q=2048, seq_k=2048, dim=64)
    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        aule.flash_attention(*tensors)
        seen, before = 0, count
        aule.flash_attention(*tensors, backend="cpu")
        seen = count - before
    finally:
        stop.set()
        ticker.join()
    assert seen > 2


FORK = """
    import os, sys, multiprocessing, threading
    {imports}
    import aule
    aule.set_num_threads(4)
    def work(seed=0):
        {work}
    def child_equals(expected):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, str(work() == expected).encode())
            finally:
                os._exit(0)
        os.close(writer)
        answer = os.read(reader, 10).decode()
        assert os.waitpid(child, 0)[1] == 0
        return answer
    reader, writer = os.pipe()
    child = os.fork()  # after the import, before any call
    if child == 0:
        os.write(writer, work()[:8]); os._exit(0)
    early = os.read(reader, 8); os.waitpid(child, 0)
    expected = work()  # the parent's threads exist now
    print(early == expected[:8], child_equals(expected), work() == expected)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, [0, 0, 0]) == [expected] * 3)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(child_equals(expected)))  # fork beside a running call
    thread.start()
    same = [work() == expected for _ in range(5)]
    thread.join()
    print(answers, all(same))
"""
NUMPY_WORK = """rng = np.random.default_rng(0)
        q, k, v = (rng.standard_normal((2, 4, 130, 32), dtype=np.float32) for _ in range(3))
        return aule.flash_attention(q, k, v).tobytes()"""
TORCH_WORK = """g = torch.Generator().manual_seed(0)
        q, k, v = (torch.randn(2, 4, 130, 32, generator=g) for _ in range(3))
        return aule.flash_attention(q, k, v).numpy().tobytes()"""


@pytest.mark.parametrize(
    ("imports", "work"), [("import numpy as np", NUMPY_WORK), ("import torch; torch.set_num_threads(1)", TORCH_WORK)],
    ids=["NumPy", "torch"],
)  # fmt: skip
def test_fork(imports: str, work: str) -> None:
    """After the import, after a call, in a pool, and beside a running call."""
    done = run_python("import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(
        FORK.replace("{imports}", imports).replace("{work}", work)
    ))  # fmt: skip
    assert done.stdout.splitlines() == ["True True True", "True", "['True'] True"]


def test_the_environment_names_the_back_end_that_goes_first() -> None:
    """AULE_BACKEND is taken before any other, and what it cannot run goes on; a name that there is not is an error."""
    program = textwrap.dedent(
        """
        import os, torch, aule
        q, wanted = torch.randn(1, 2, 64, 32), os.environ["AULE_BACKEND"]
        chosen = [line.split()[1] for line in aule.explain(q, q, q).splitlines() if "chosen" in line]
        assert chosen == [wanted + ":"], chosen
        out = aule.flash_attention(q, q, q)
        assert torch.equal(out, aule.flash_attention(q, q, q, backend=wanted))
        other = "cpu" if wanted == "reference" else "reference"
        assert not torch.equal(out, aule.flash_attention(q, q, q, backend=other))
        assert aule.AttentionContext().device.backend == wanted
        """
    )
    for name in ("reference", "cpu"):
        run_python(f"import os; os.environ['AULE_BACKEND'] = {name!r}\n" + program)
    run_python(
        textwrap.dedent(
            """
            import os
            os.environ["AULE_BACKEND"] = "abacus"
            import aule
            try:
                aule.devices()
            except ValueError as error:
                assert "AULE_BACKEND" in str(error) and "abacus" in str(error), error
            else:
                raise AssertionError("a wrong name went unnoticed")
            """
        )
    )
