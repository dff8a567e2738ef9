"""attn_implementation="aule" against transformers' eager attention, on small random models of every mask pattern."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import aule.integrations.transformers as integration  # noqa: E402

VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
WINDOW = {"sliding_window": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


def decoder(name: str):
    """A decoder's config by the pattern that it stands for; its random weights come from seed 0."""
    configs = {
        "llama": lambda: transformers.LlamaConfig(**SIZES),
        "sliding window": lambda: transformers.MistralConfig(**SIZES, **WINDOW),
        "alternating window, softcap": lambda: transformers.Gemma2Config(**SIZES, **WINDOW, attn_logit_softcapping=5.0),
        "alternating window": lambda: transformers.Gemma3TextConfig(**SIZES, **WINDOW, sliding_window_pattern=2),
        "window, sinks": lambda: transformers.GptOssConfig(
            **SIZES,
            **WINDOW,
            num_local_experts=4,
            num_experts_per_tok=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        ),
        # Hands the window only to the mask, not to the attention function.
        "window in the mask only": lambda: transformers.Qwen2MoeConfig(
            **SIZES,
            **WINDOW,
            **EXPERTS,
            use_sliding_window=True,
            max_window_layers=1,
            shared_expert_intermediate_size=32,
        ),
        "chunked": lambda: transformers.Llama4TextConfig(
            **SIZES, attention_chunk_size=8, intermediate_size_mlp=96, num_local_experts=2, no_rope_layers=[1, 1, 0]
        ),
    }
    return configs[name]()


DECODERS = [
    "llama",
    "sliding window",
    "alternating window, softcap",
    "alternating window",
    "window, sinks",
    "window in the mask only",
    "chunked",
]


def build(name: str, implementation: str):
    torch.manual_seed(0)
    config = decoder(name)
    config._attn_implementation = implementation
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=implementation).eval()
    for parameter_name, parameter in model.named_parameters():  # not the small initial values: let attention matter
        if "sinks" in parameter_name:
            torch.nn.init.normal_(parameter)
        elif parameter.ndim == 2 and "proj" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.fixture(scope="module", params=DECODERS)
def pair(request):
    return build(request.param, "eager"), build(request.param, integration.NAME)


def tokens(batch: int, length: int, seed: int = 1):
    return torch.randint(2, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def padding(side: str, length: int):
    """Rows with 0, 5 and 11 padded tokens."""
    mask = torch.ones(3, length, dtype=torch.int64)
    for row, count in enumerate([0, 5, 11]):
        if count:
            mask[row, -count:] = 0
    return mask.flip(-1) if side == "left" else mask


def assert_equal_where(mask, actual, expected, tolerance=1e-4):
    actual, expected = actual[mask.bool()], expected[mask.bool()]
    assert torch.isfinite(actual).all()
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 7, 8, 9, 30])
def test_plain_prompt(pair, length):
    eager, ours = pair
    ids = tokens(2, length)
    assert_equal_where(torch.ones_like(ids), ours(ids).logits, eager(ids).logits)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch(pair, side):
    eager, ours = pair
    mask = padding(side, 24)
    ids = tokens(3, 24)
    assert_equal_where(mask, ours(ids, attention_mask=mask).logits, eager(ids, attention_mask=mask).logits)


@torch.no_grad()
def test_padding_changes_nothing(pair):
    """A row of a left-padded batch gives what it gives alone."""
    _, ours = pair
    ids, mask = tokens(3, 24), padding("left", 24)
    together = ours(ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0)).logits
    for row in range(3):
        own = mask[row].bool()
        alone = ours(ids[row : row + 1, own]).logits
        torch.testing.assert_close(together[row : row + 1, own], alone, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("side", ["none", "left"])
def test_generation(pair, cache, side):
    """Prefill and 16 steps with a cache, across the edge of the window: the same tokens and scores."""
    ids = tokens(3, 13)
    mask = padding("left", 13) if side == "left" else torch.ones_like(ids)
    results = []
    for model in pair:
        options = {} if cache == "dynamic" else {"cache_implementation": "static", "disable_compile": True}
        result = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=16,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )
        results.append((result.sequences, torch.stack(result.logits)))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=0, atol=0)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", ["none", "left"])
def test_prompt_in_pieces(pair, side):
    """Several queries against a cache that already holds keys: the bottom-right causal line."""
    ids = tokens(3, 24)
    mask = padding("left", 24) if side == "left" else torch.ones_like(ids)
    results = []
    for model in pair:
        cache, pieces = transformers.DynamicCache(config=model.config), []
        for start, end in [(0, 12), (12, 13), (13, 20), (20, 24)]:
            piece = model(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache).logits
            pieces.append(piece)
        results.append(torch.cat(pieces, dim=1))
    assert_equal_where(mask, results[1], results[0])


@torch.no_grad()
def test_packed_sequences(pair):
    """Position ids that start again pack several sequences into one row: they must not see each other."""
    eager, ours = pair
    ids = tokens(1, 20)
    positions = torch.tensor([[*range(9), *range(4), *range(7)]])
    expected = eager(ids, position_ids=positions, use_cache=False).logits
    actual = ours(ids, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_own_4d_mask(pair):
    """A mask of four dimensions is complete: nothing is added to it."""
    eager, ours = pair
    ids = tokens(2, 12)
    visible = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(3)) > 0.4
    visible |= torch.eye(12, dtype=torch.bool)
    additive = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
    torch.testing.assert_close(
        ours(ids, attention_mask=visible).logits, eager(ids, attention_mask=additive).logits, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_training_step(pair, side):
    """Loss and every gradient, sinks included, of a padded batch."""
    ids, mask = tokens(3, 20), padding(side, 20)
    # A padded query sees no key; what it predicts is nobody's business (eager gives the mean of all values).
    predicted = mask.bool() & torch.nn.functional.pad(mask, (1, 0), value=1)[:, :-1].bool()
    labels = torch.where(predicted, ids, -100)
    results = []
    for model in pair:
        model.zero_grad()
        loss = model(ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        gradients = {
            name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
        }
        results.append((loss.detach(), gradients))
    (loss, gradients), (expected_loss, expected) = results[1], results[0]
    torch.testing.assert_close(loss, expected_loss, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


ENCODER_SIZES = {
    key: SIZES[key] for key in SIZES if key not in ("num_key_value_heads", "head_dim", "eos_token_id", "bos_token_id")
}


def encoder(name: str, implementation: str):
    torch.manual_seed(0)
    config = {
        "bert": lambda: transformers.BertConfig(**ENCODER_SIZES),
        "modernbert": lambda: transformers.ModernBertConfig(
            **ENCODER_SIZES,
            local_attention=8,
            global_attn_every_n_layers=2,
            cls_token_id=1,
            sep_token_id=2,
            eos_token_id=2,
            bos_token_id=1,
        ),
    }[name]()
    config._attn_implementation = implementation
    return transformers.AutoModel.from_config(config, attn_implementation=implementation).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ["bert", "modernbert"])
@pytest.mark.parametrize("side", ["none", "left", "right"])
def test_encoder(name, side):
    eager, ours = encoder(name, "eager"), encoder(name, integration.NAME)
    ids = tokens(3, 30)
    mask = torch.ones_like(ids) if side == "none" else padding(side, 30)
    expected = eager(ids, attention_mask=mask).last_hidden_state
    assert_equal_where(mask, ours(ids, attention_mask=mask).last_hidden_state, expected)


@torch.no_grad()
def test_encoder_decoder():
    """T5Gemma: self-attention both ways and cross-attention against padded keys."""
    results = []
    for implementation in ("eager", integration.NAME):
        torch.manual_seed(0)
        part = {**SIZES, **WINDOW}
        config = transformers.T5GemmaConfig(
            encoder=transformers.T5GemmaModuleConfig(**part),
            decoder=transformers.T5GemmaModuleConfig(**part),
            vocab_size=VOCABULARY,
        )
        model = transformers.T5GemmaForConditionalGeneration._from_config(
            config, attn_implementation=implementation
        ).eval()
        ids, mask = tokens(3, 18), padding("right", 18)
        results.append(model(input_ids=ids, attention_mask=mask, decoder_input_ids=tokens(3, 12, seed=2)).logits)
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_set_attn_implementation(pair):
    eager, _ = pair
    ids = tokens(2, 20)
    expected = eager(ids).logits
    eager.set_attn_implementation(integration.NAME)
    try:
        torch.testing.assert_close(eager(ids).logits, expected, rtol=1e-4, atol=1e-4)
    finally:
        eager.set_attn_implementation("eager")


class _Layer(torch.nn.Module):
    is_causal = True


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_position_bias(masked, causal):
    generator = torch.Generator().manual_seed(5)
    query = torch.randn(2, 4, 9, 16, generator=generator, dtype=torch.float64)
    key, value = (
        torch.randn(2, 2, 12 if causal and not masked else 9, 16, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    seq_k = key.shape[2]
    bias = torch.randn(1, 4, 9, seq_k, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 1, 9, seq_k, generator=generator) > 0.2 if masked else None
    output, _ = integration.aule_attention(_Layer(), query, key, value, mask, is_causal=causal, position_bias=bias)
    total = bias
    if masked:
        total = torch.where(mask, bias, float("-inf"))
    elif causal:
        total = torch.where(torch.ones(9, seq_k, dtype=torch.bool).tril(), bias, float("-inf"))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, total, enable_gqa=True).transpose(
        1, 2
    )
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    assert output.is_contiguous()


def test_no_square_mask(monkeypatch):
    """Prompts, padded or not, windowed or not, in one piece or several, never make a seq_q x seq_k mask."""
    seen = []
    original = integration.flash_attention

    def spy(query, key, value, attn_mask=None, *arguments, **options):
        seen.append(None if attn_mask is None else attn_mask.shape[-2])
        return original(query, key, value, attn_mask, *arguments, **options)

    monkeypatch.setattr(integration, "flash_attention", spy)
    with torch.no_grad():
        for name in ("llama", "sliding window", "window in the mask only"):
            model = build(name, integration.NAME)
            ids, mask = tokens(3, 24), padding("left", 24)
            model(ids)
            model(ids, attention_mask=mask)
            cache = transformers.DynamicCache(config=model.config)
            model(ids[:, :10], attention_mask=mask[:, :10], past_key_values=cache)
            model(ids[:, 10:], attention_mask=mask, past_key_values=cache)
    assert len(seen) == 3 * 4 * 3
    assert set(seen) <= {None, 1}


def test_refuses_attention_probabilities():
    tensor = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match="output_attentions"):
        integration.aule_attention(_Layer(), tensor, tensor, tensor, None, output_attentions=True)


def test_refuses_a_mask_of_wrong_width():
    tensor = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="attention_mask: expected"):
        integration.aule_attention(_Layer(), tensor, tensor, tensor, torch.ones(1, 3, dtype=torch.bool))
