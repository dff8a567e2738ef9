// The rules of a score on the register tile: element i of a lane is the pair (query, key) that the caller names. Logits
// are natural ones here (masks may hold the lowest float, which log2(e) times would overflow).
#pragma once

#include "hip/kernels/device.h"
#include "hip/kernels/kernel_args.h"

namespace aule::hip {

/// What a query needs for its scores: all of it uniform or one value per lane.
struct QueryRules {
  int query;
  int first_key, last_key;  ///< that band and length leave
  float alibi_slope;
  long mask_row;  ///< elements from the mask's start
  uint batch_head_low, batch_head_high;
};

AULE_DEVICE QueryRules query_rules(const ForwardArgs& args, int batch, int head, int query) {
  const kernels::AttentionParams& p = args.params;
  QueryRules rules;
  rules.query = query;
  rules.first_key = max(query + p.band_lower, 0);
  rules.last_key = min(query + p.band_upper, p.seq_k - 1);
  const auto& slopes = p.alibi_slopes;
  rules.alibi_slope = 0;
  if (args.features & AULE_FEATURE_ALIBI) {
    rules.alibi_slope = args.alibi_slopes[slopes.offset + static_cast<long>(batch) * slopes.batch + head * slopes.head];
  }
  rules.mask_row = p.mask.offset + static_cast<long>(batch) * p.mask.batch + static_cast<long>(head) * p.mask.head +
                   static_cast<long>(query) * p.mask.row;
  const unsigned long long batch_head = (static_cast<unsigned long long>(p.batch_head_high) << 32 | p.batch_head_low) +
                                        static_cast<long>(batch) * p.batch_head_stride + head;
  rules.batch_head_low = static_cast<uint>(batch_head);
  rules.batch_head_high = static_cast<uint>(batch_head >> 32);
  return rules;
}

AULE_DEVICE bool visible(const QueryRules& rules, int key) { return key >= rules.first_key && key <= rules.last_key; }

template <class T>
AULE_DEVICE float additive_mask(const ForwardArgs& args, long index) {
  if (args.mask_type == AULE_MASK_FLOAT32) return static_cast<const float*>(args.mask)[index];
  return static_cast<float>(static_cast<const T*>(args.mask)[index]);
}

/// scale q k -> the logit; -inf where hidden. mask_step: the mask's step from key to key.
template <class T>
AULE_DEVICE float logit(const ForwardArgs& args, const QueryRules& rules, int key, int mask_step, float product) {
  const kernels::AttentionParams& p = args.params;
  if (!visible(rules, key)) return -kInfinity;
  const long mask_index = rules.mask_row + static_cast<long>(key) * mask_step;
  if (args.features & AULE_FEATURE_BOOL_MASK && !static_cast<const unsigned char*>(args.mask)[mask_index]) {
    return -kInfinity;
  }
  float s = p.scale * product;
  if (args.features & AULE_FEATURE_SOFTCAP) s = p.softcap * rule_tanh(s / p.softcap);
  if (args.features & AULE_FEATURE_FLOAT_MASK) s += additive_mask<T>(args, mask_index);
  if (args.features & AULE_FEATURE_ALIBI) {
    s -= rules.alibi_slope * rule_alibi_distance(rules.query, key, p.alibi_offset);
  }
  return s;
}

/// Dropout's words of four neighbouring keys, kept from one element to the next.
class DropoutWords {
 public:
  /// Whether the probability of `key` stays.
  AULE_DEVICE bool keeps(const ForwardArgs& args, const QueryRules& rules, int key, bool new_block) {
    const kernels::AttentionParams& p = args.params;
    if (new_block) {
      words_ = rule_philox(p.seed_low, p.seed_high, static_cast<uint>(key) / 4, static_cast<uint>(rules.query),
                           rules.batch_head_low, rules.batch_head_high);
    }
    const int word = key & 3;
    const uint low = word & 1 ? words_.y : words_.x, high = word & 1 ? words_.w : words_.z;
    return (word & 2 ? high : low) >= p.dropout_threshold;
  }

 private:
  PhiloxWords words_;
};

}  // namespace aule::hip
