"""What a call asks for beside its tensors, read from the arguments of `aule.flash_attention`."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from ._errors import InvalidArgument, InvalidRank

#: aule::Causal
NONE, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2
_CAUSAL_NAMES = {"none": NONE, "top-left": TOP_LEFT, "bottom-right": BOTTOM_RIGHT}


class Rules(NamedTuple):
    """The options of a call in the order in which `aule._core` takes them."""

    causal: int
    window_left: int
    window_right: int
    scale: float | None
    softcap: float
    dropout_p: float

    @property
    def is_sdpa(self) -> bool:
        """Whether PyTorch's scaled_dot_product_attention knows all of them."""
        return self.causal != BOTTOM_RIGHT and self.window_left < 0 and self.window_right < 0 and self.softcap == 0


def read_causal(is_causal: Any, causal: Any, has_mask: bool) -> int:
    """aule::Causal of the two arguments.

    Raises:
        TypeError: is_causal is no bool.
        ValueError: causal is unknown or contradicts is_causal.
        RuntimeError: a mask besides is_causal, as PyTorch.
    """
    if is_causal is not True and is_causal is not False:
        raise TypeError(f"is_causal: expected a bool, got {type(is_causal).__name__}")
    if causal is None:
        code = TOP_LEFT if is_causal else NONE
    elif causal is True:
        is_causal, code = True, TOP_LEFT
    elif causal is False:
        code = NONE
    elif isinstance(causal, str) and causal in _CAUSAL_NAMES:
        code = _CAUSAL_NAMES[causal]
    else:
        raise InvalidArgument(f"causal: expected None, a bool, 'top-left' or 'bottom-right', got {causal!r}")
    if is_causal and code != TOP_LEFT:
        raise InvalidArgument(f"causal: expected nothing, True or 'top-left' beside is_causal=True, got {causal!r}")
    if is_causal and has_mask:
        raise InvalidArgument(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
            " (attn_mask: expected None, got a mask; causal='bottom-right' and window go together with a mask)"
        )
    return code


def read_window(window: Any) -> tuple[int, int]:
    """(left, right), -1 where unlimited.

    Raises:
        ValueError, TypeError: not None and not two whole numbers.
    """
    if window is None:
        return -1, -1
    try:
        left, right = window
        return max(-1, operator.index(left)), max(-1, operator.index(right))
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"window: expected None or (left, right), whole numbers of keys with -1 for unlimited, got {window!r}"
        ) from None


def read_number(name: str, value: Any) -> float:
    """A Python number or anything that converts to one, such as a tensor without dimensions.

    Raises:
        TypeError: it does not.
    """
    if isinstance(value, (float, int)):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None


def read_rules(
    has_mask: bool, dropout_p: Any, is_causal: Any, scale: Any, causal: Any, window: Any, softcap: Any
) -> Rules:
    """The rules of a call; checks each argument by itself and those that exclude each other."""
    code = read_causal(is_causal, causal, has_mask)
    left, right = read_window(window)
    dropout = read_number("dropout_p", dropout_p)
    if not 0.0 <= dropout <= 1.0:
        raise InvalidArgument(f"dropout_p: dropout probability has to be between 0 and 1, but got {dropout_p}")
    return Rules(
        code,
        left,
        right,
        None if scale is None else read_number("scale", scale),
        read_number("softcap", softcap),
        dropout,
    )


def check_heads(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], enable_gqa: bool) -> None:
    """SDPA's rule for head counts, given the shapes.

    Raises:
        IndexError: enable_gqa with fewer than 3 dimensions.
        RuntimeError: the heads neither broadcast nor, with enable_gqa, divide.
    """
    if enable_gqa:
        for name, shape in (("query", query), ("key", key), ("value", value)):
            if len(shape) < 3:
                raise InvalidRank(f"{name}: expected at least 3 dimensions with enable_gqa=True, got {len(shape)}")
    heads = [shape[-3] if len(shape) > 2 else 1 for shape in (query, key, value)]
    if heads[0] == heads[1] == heads[2]:
        return
    heads_q, heads_k, heads_v = heads
    if enable_gqa:
        if heads_k and heads_v and heads_q % heads_k == 0 and heads_q % heads_v == 0:
            return
        raise InvalidArgument(
            "Number of heads in key and value must divide the number of heads in query: "
            f"expected divisors of {heads_q}, got {heads_k} in key and {heads_v} in value"
        )
    largest = max(heads) if 0 not in heads else 0
    if any(count not in (1, largest) for count in heads):
        hint = "; enable_gqa=True lets query heads share key and value heads" if heads_q > 1 else ""
        raise InvalidArgument(
            f"heads: expected {largest} or 1 in query, key and value, got {heads_q}, {heads_k} and {heads_v}{hint}"
        )
