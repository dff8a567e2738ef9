// The rules of a score on the register tile: element i of a lane is the pair (query, key) that the caller names. Logits
// are natural ones here (masks may hold the lowest float, which log2(e) times would overflow).
#pragma once

#include "hip/kernels/device.h"
#include "hip/kernels/kernel_args.h"

namespace aule::hip {

/// What the scores of a head have in common.
struct HeadRules {
  float alibi_slope;
  long mask_start;  ///< elements from the mask's start
  uint batch_head_low, batch_head_high;
};
/// What a query adds.
struct QueryRules {
  int query;
  int first_key, last_key;  ///< that band and length leave
  HeadRules head;
  long mask_row;
};

AULE_DEVICE HeadRules head_rules(const kernels::AttentionParams& p, const float* alibi_slopes, int batch, int head) {
  HeadRules rules;
  const auto& slopes = p.alibi_slopes;
  rules.alibi_slope = 0;
  if (alibi_slopes != nullptr) {
    rules.alibi_slope = alibi_slopes[slopes.offset + static_cast<long>(batch) * slopes.batch + head * slopes.head];
  }
  rules.mask_start = p.mask.offset + static_cast<long>(batch) * p.mask.batch + static_cast<long>(head) * p.mask.head;
  const unsigned long long batch_head = (static_cast<unsigned long long>(p.batch_head_high) << 32 | p.batch_head_low) +
                                        static_cast<long>(batch) * p.batch_head_stride + head;
  rules.batch_head_low = static_cast<uint>(batch_head);
  rules.batch_head_high = static_cast<uint>(batch_head >> 32);
  return rules;
}
AULE_DEVICE QueryRules query_rules(const kernels::AttentionParams& p, const HeadRules& head, int query) {
  return {query, max(query + p.band_lower, 0), min(query + p.band_upper, p.seq_k - 1), head,
          head.mask_start + static_cast<long>(query) * p.mask.row};
}

AULE_DEVICE bool visible(const QueryRules& rules, int key) { return key >= rules.first_key && key <= rules.last_key; }

/// Args: ForwardArgs or BackwardArgs.
template <class T, class Args>
AULE_DEVICE float additive_mask(const Args& args, long index) {
  if (args.mask_type == AULE_MASK_FLOAT32) return static_cast<const float*>(args.mask)[index];
  return static_cast<float>(static_cast<const T*>(args.mask)[index]);
}

/// scale q k -> the logit; -inf where hidden. mask_step: the mask's step from key to key. slope: d softcap(s) / ds.
template <class T, class Args>
AULE_DEVICE float logit(const Args& args, const QueryRules& rules, int key, int mask_step, float product,
                        float& slope) {
  const kernels::AttentionParams& p = args.params;
  slope = 1.0f;
  if (!visible(rules, key)) return -kInfinity;
  const long mask_index = rules.mask_row + static_cast<long>(key) * mask_step;
  if (args.features & AULE_FEATURE_BOOL_MASK && !static_cast<const unsigned char*>(args.mask)[mask_index]) {
    return -kInfinity;
  }
  float s = p.scale * product;
  if (args.features & AULE_FEATURE_SOFTCAP) {
    const float bent = rule_tanh(s / p.softcap);
    s = p.softcap * bent;
    slope = 1.0f - bent * bent;
  }
  if (args.features & AULE_FEATURE_FLOAT_MASK) s += additive_mask<T>(args, mask_index);
  if (args.features & AULE_FEATURE_ALIBI) {
    s -= rules.head.alibi_slope * rule_alibi_distance(rules.query, key, p.alibi_offset);
  }
  return s;
}

/// Dropout's words of four neighbouring keys, kept from one element to the next.
class DropoutWords {
 public:
  /// Whether the probability of `key` stays.
  AULE_DEVICE bool keeps(const kernels::AttentionParams& p, const QueryRules& rules, int key, bool new_block) {
    if (new_block) {
      words_ = rule_philox(p.seed_low, p.seed_high, static_cast<uint>(key) / 4, static_cast<uint>(rules.query),
                           rules.head.batch_head_low, rules.head.batch_head_high);
    }
    const int word = key & 3;
    const uint low = word & 1 ? words_.y : words_.x, high = word & 1 ? words_.w : words_.z;
    return (word & 2 ? high : low) >= p.dropout_threshold;
  }

 private:
  PhiloxWords words_;
};

}  // namespace aule::hip
