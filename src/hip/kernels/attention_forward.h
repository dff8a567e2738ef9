// FlashAttention-2 forward (Dao 2023, algorithm 1), one mainloop for every unit: S^T = K Q^T, softmax, O^T = V^T P^T.
// A lane owns one query of each of its row tiles (or shares it with the lanes of its column), so the softmax statistics
// are values of a lane, row reductions run over its own registers, and P never leaves them.
#pragma once

#include "hip/kernels/rows.h"
#include "hip/kernels/score.h"

namespace aule::hip {

/// What a workgroup works on.
struct ForwardTask {
  int batch, head_group, row_block, split, slice;
};

/// Row blocks with the most keys of a causal call come first, so that no long one is left for the end.
AULE_DEVICE ForwardTask forward_task(const ForwardArgs& args, int row_blocks, int slices) {
  const kernels::AttentionParams& p = args.params;
  const int head_groups = p.heads_q / args.fold;
  int rest = workgroup_index();
  ForwardTask task;
  task.slice = rest % slices;
  rest /= slices;
  task.split = rest % p.splits;
  rest /= p.splits;
  task.head_group = rest % head_groups;
  rest /= head_groups;
  task.batch = rest % p.batch;
  task.row_block = row_blocks - 1 - rest / p.batch;
  return task;
}

/// kDimQk, kDimV: head sizes, padded. kFeatures false: band and length only, scale > 0, all tensors wide.
template <class T, int kDimQk, int kDimV, bool kFeatures>
class Forward {
  static constexpr ForwardConfig kConfig =
      forward_config(kIsScalar<T> ? UnitKind::kScalar : kUnitKind, sizeof(T), kDimQk, kDimV);
  using Unit = typename SelectUnit<T, kConfig.tile_queries, kConfig.groups, kIsScalar<T>>::Type;
  using Fragment = typename Unit::Fragment;
  using Accumulator = typename Unit::Accumulator;

  static constexpr int kPer = kPerUnit<T>, kRowTiles = kConfig.row_tiles;

 public:
  static constexpr int kThreads = kConfig.waves * kWave, kBlockQ = kConfig.block_q();
  static constexpr int kBlockK = kConfig.block_k, kSliceV = kConfig.slice_v;

 private:
  static constexpr int kScoreTiles = kBlockK / Unit::Scores::kRows, kValueTiles = kSliceV / Unit::Values::kRows;
  static constexpr int kScoreSteps = kDimQk / Unit::kScoreDepth, kValueSteps = kBlockK / Unit::kValueDepth;
  static constexpr int kScoresOfLane = kScoreTiles * Unit::kAccumulators;
  static constexpr int kValuesOfLane = kValueTiles * Unit::kAccumulators;
  static_assert(Unit::kColumns == kConfig.tile_queries && Unit::kGroups == kConfig.groups);
  static_assert(kDimQk % Unit::kScoreDepth == 0 && kBlockK % Unit::kValueDepth == 0 && kDimV % kSliceV == 0);
  static_assert(kBlockK % Unit::Scores::kRows == 0 && kSliceV % Unit::Values::kRows == 0 && kValuesOfLane % kPer == 0);

  using KBlock = RowBlock<T, kBlockK, kDimQk / kPer, kThreads, kConfig.swizzle>;
  using VBlock = TransposedBlock<T, kBlockK, kSliceV, kThreads, kConfig.swizzle>;
  using QBlock = RowBlock<T, kBlockQ, kDimQk / kPer, kThreads, kConfig.swizzle>;
  static constexpr int kQUnits = kConfig.q_in_registers ? 0 : QBlock::Layout::kSize;

 public:
  static constexpr int kSharedUnits = KBlock::Layout::kSize + VBlock::Layout::kSize + kQUnits;

  AULE_DEVICE Forward(const ForwardArgs& args, Unit16* shared)
      : args_(args),
        p_(args.params),
        shared_k_(shared),
        shared_v_(shared + KBlock::Layout::kSize),
        shared_q_(shared + KBlock::Layout::kSize + VBlock::Layout::kSize),
        lane_(thread_index() % kWave),
        group_(Unit::group(lane_)) {}

  AULE_DEVICE void run() {
    const int rows = p_.seq_q * args_.fold, row_blocks = (rows + kBlockQ - 1) / kBlockQ;
    task_ = forward_task(args_, row_blocks, max((p_.head_dim_v + kSliceV - 1) / kSliceV, 1));  // lse without V: 1
    const int first_row = task_.row_block * kBlockQ + wave_index() * kRowTiles * Unit::kColumns;
    // Of the workgroup, for what is loaded, and of the wave, for what is computed.
    const int first_query = task_.row_block * kBlockQ / args_.fold;
    const int last_query = (min((task_.row_block + 1) * kBlockQ, rows) - 1) / args_.fold;
    wave_first_query_ = first_row / args_.fold;
    wave_last_query_ = (min(first_row + kRowTiles * Unit::kColumns, rows) - 1) / args_.fold;
    wave_has_rows_ = first_row < rows;

    const int split_first = task_.split * p_.split_keys;
    const int split_last = min(p_.splits > 1 ? split_first + p_.split_keys : p_.seq_k, p_.seq_k) - 1;
    const int first_key = max(max(first_query + p_.band_lower, 0) / kBlockK * kBlockK, split_first);
    const int last_key = min(last_query + p_.band_upper, split_last);
    split_last_key_ = split_last;

    const int kv_head = task_.head_group * args_.fold / p_.group_size;
    k_ = rows_of<T>(args_.k, p_.k, task_.batch, kv_head, p_.seq_k, p_.head_dim_qk, (args_.wide & kWideK) != 0);
    v_ = rows_of<T>(args_.v, p_.v, task_.batch, kv_head, p_.seq_k, p_.head_dim_v, (args_.wide & kWideV) != 0);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) start_row(t);
    if constexpr (!kConfig.q_in_registers) share_queries();
    if (first_key <= last_key) loop(first_key, last_key);
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) finish_row(t);
  }

 private:
  AULE_DEVICE GlobalRows<T> queries(int head) const {
    return rows_of<T>(args_.q, p_.q, task_.batch, head, p_.seq_q, p_.head_dim_qk, (args_.wide & kWideQ) != 0);
  }

  /// Where row `row` of the task's tile lies: query row / fold of head row % fold of the group.
  struct RowPlace {
    int head, query;
    bool exists;  ///< or repeats the last one
  };
  AULE_DEVICE RowPlace place_of(int row_in_tile) const {
    const int rows = p_.seq_q * args_.fold, row = task_.row_block * kBlockQ + row_in_tile;
    const int existing = min(row, rows - 1);
    return {task_.head_group * args_.fold + existing % args_.fold, existing / args_.fold, row < rows};
  }
  AULE_DEVICE int row_in_tile(int t) const {
    return (wave_index() * kRowTiles + t) * Unit::kColumns + Unit::column(lane_);
  }

  AULE_DEVICE void start_row(int t) {
    const auto [head, query, exists] = place_of(row_in_tile(t));
    rules_[t] = query_rules(p_, head_rules(p_, args_.alibi_slopes, task_.batch, head), query);
    rules_[t].last_key = min(rules_[t].last_key, split_last_key_);
    maximum_[t] = -kInfinity;
    sum_[t] = 0;
    if (kFeatures && args_.features & AULE_FEATURE_SINKS && task_.split == 0) {
      // A sink is a key without a value. Lanes that share the query add their sums: one of them counts it.
      maximum_[t] = args_.sinks[p_.sinks.offset + head * p_.sinks.head];
      if (group_ == 0 || Unit::Scores::kGroups == 1) sum_[t] = probability(maximum_[t], base(maximum_[t]));
    }
#pragma unroll
    for (int i = 0; i < kValueTiles; ++i) out_[t][i] = Accumulator{};
    if constexpr (kConfig.q_in_registers) {
      const GlobalRows<T> q = queries(head);
#pragma unroll
      for (int c = 0; c < kScoreSteps; ++c) {
#pragma unroll
        for (int j = 0; j < Unit::kUnits; ++j) {
          const int unit = c * (Unit::kScoreDepth / kPer) + Unit::score_unit(group_, j);
          q_[t][c].unit[j] = q.template load_row<kFeatures>(query, unit);
        }
      }
    }
  }
  AULE_DEVICE void share_queries() {
    for (int n = thread_index(); n < QBlock::kUnits; n += kThreads) {
      const int in_block = n / (kDimQk / kPer), unit = n % (kDimQk / kPer);
      const auto [head, query, exists] = place_of(in_block);
      const GlobalRows<T> q = queries(head);
      shared_q_[QBlock::Layout::at(in_block, unit)] = q.template load_row<kFeatures>(query, unit);
    }
  }

  AULE_DEVICE void loop(int first_key, int last_key) {
    load_block(first_key);
    for (int key = first_key; key <= last_key; key += kBlockK) {
      barrier();  // the block before has been read
      next_k_.store(shared_k_, [](int index) { return Unit::Scores::stored_row(index); });
      next_v_.store(shared_v_, [](int index) { return Unit::Values::stored_row(index); });
      barrier();
      if (key + kBlockK <= last_key) load_block(key + kBlockK);
      if (wave_has_rows_ && !rule_band_hides_all(wave_first_query_, wave_last_query_, key, key + kBlockK - 1,
                                                 p_.band_lower, p_.band_upper)) {
        multiply_block(key);
      }
    }
  }
  AULE_DEVICE void load_block(int key) {
    next_k_.template load<kFeatures>(k_, key);
    next_v_.template load<kFeatures>(v_, key, task_.slice * (kSliceV / kPer));
  }

  AULE_DEVICE void multiply_block(int first_key) {
    Accumulator scores[kRowTiles][kScoreTiles];
    score_product(scores);
    const bool whole = first_key + kBlockK - 1 <= split_last_key_ &&
                       rule_band_hides_none(wave_first_query_, wave_last_query_, first_key, first_key + kBlockK - 1,
                                            p_.band_lower, p_.band_upper);
    Fragment probabilities[kRowTiles][kValueSteps];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
      float s[kScoresOfLane];
#pragma unroll
      for (int i = 0; i < kScoresOfLane; ++i) {
        s[i] = Unit::element(scores[t][i / Unit::kAccumulators], i % Unit::kAccumulators);
      }
      if constexpr (kFeatures) {
        const int mask_step = opaque(p_.mask.column);
        float slope;
#pragma unroll
        for (int i = 0; i < kScoresOfLane; ++i) {
          s[i] = logit<T>(args_, rules_[t], key_of(first_key, i), mask_step, s[i], slope);
          // A few elements at a time: their addresses and loaded masks would take all registers.
          if (i % 4 == 3) end_of_phase();
        }
      } else if (!whole) {
#pragma unroll
        for (int i = 0; i < kScoresOfLane; ++i) s[i] = visible(rules_[t], key_of(first_key, i)) ? s[i] : -kInfinity;
      }
      softmax(t, first_key, s);
#pragma unroll
      for (int c = 0; c < kValueSteps; ++c) {
        float chunk[kPer];
#pragma unroll
        for (int e = 0; e < kPer; ++e) chunk[e] = s[c * kPer + e];
        probabilities[t][c] = Unit::probabilities(chunk, group_);
      }
    }
    end_of_phase();
    value_product(probabilities);
    end_of_phase();
  }
  AULE_DEVICE int key_of(int first_key, int element) const { return first_key + Unit::Scores::held(group_, element); }

  AULE_DEVICE void score_product(Accumulator (&scores)[kRowTiles][kScoreTiles]) {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
      for (int i = 0; i < kScoreTiles; ++i) scores[t][i] = Accumulator{};
    }
    pipelined<Unit, kScoreSteps * kScoreTiles>(
        [&](int n) {
          return score_fragment<Unit, typename KBlock::Layout>(shared_k_, lane_, group_, n % kScoreTiles,
                                                               n / kScoreTiles);
        },
        [&](int n, const Fragment& k) {
          multiply_row_tiles<Unit, kRowTiles>(
              k, [&](int t) { return query_fragment(t, n / kScoreTiles); },
              [&](int t) -> Accumulator& { return scores[t][n % kScoreTiles]; });
        });
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
      for (int i = 0; i < kScoreTiles; ++i) {
        Unit::finish(scores[t][i]);
        pin(scores[t][i]);
      }
    }
  }
  AULE_DEVICE Fragment query_fragment(int t, int c) const {
    if constexpr (kConfig.q_in_registers) return q_[t][c];
    return column_fragment<Unit, typename QBlock::Layout>(shared_q_, row_in_tile(t), group_, c);
  }

  AULE_DEVICE void value_product(const Fragment (&probabilities)[kRowTiles][kValueSteps]) {
    pipelined<Unit, kValueSteps * kValueTiles>(
        [&](int n) {
          return value_fragment<Unit, typename VBlock::Layout>(shared_v_, lane_, group_, n % kValueTiles,
                                                               n / kValueTiles);
        },
        [&](int n, const Fragment& v) {
          multiply_row_tiles<Unit, kRowTiles>(
              v, [&](int t) { return probabilities[t][n / kValueTiles]; },
              [&](int t) -> Accumulator& { return out_[t][n % kValueTiles]; });
        });
  }

  // Units of maximum_: natural logits with features; without, products q k times scale log2(e), so that scaling costs
  // nothing: exp2(s factor - base).
  static constexpr float kUnit = kFeatures ? AULE_LOG2E : 1.0f;
  AULE_DEVICE float factor() const { return kFeatures ? 1.0f : p_.scale * AULE_LOG2E; }
  AULE_DEVICE static float base(float maximum) { return is_minus_infinity(maximum) ? 0.0f : maximum; }
  AULE_DEVICE float probability(float s, float base) const {
    return kFeatures ? exp2((s - base) * kUnit) : exp2(__builtin_fmaf(s, factor(), -base));
  }

  /// s becomes exp(s - maximum). The maximum that is subtracted may lag behind by 2^8, so that O is seldom rescaled;
  /// each row decides for itself, so its bits do not depend on its neighbours.
  AULE_DEVICE void softmax(int t, int first_key, float (&s)[kScoresOfLane]) {
    float largest = s[0];
#pragma unroll
    for (int i = 1; i < kScoresOfLane; ++i) largest = max(largest, s[i]);
    largest = Unit::maximum(largest) * factor();
    const bool grows = largest > maximum_[t] + 8.0f / kUnit;
    if (any_lane(grows)) rescale(t, grows ? largest : maximum_[t]);
    const float subtracted = base(maximum_[t]);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kScoresOfLane; ++i) {
      s[i] = probability(s[i], subtracted);
      sum += s[i];
    }
    sum_[t] += sum;
    if (kFeatures && args_.features & AULE_FEATURE_DROPOUT) drop(t, first_key, s);
  }
  AULE_DEVICE void rescale(int t, float maximum) {
    const float correction = exp2((maximum_[t] - base(maximum)) * kUnit);
    maximum_[t] = maximum;
    sum_[t] *= correction;
#pragma unroll
    for (int i = 0; i < kValueTiles; ++i) out_[t][i] *= correction;
  }
  AULE_DEVICE void drop(int t, int first_key, float (&s)[kScoresOfLane]) {
    DropoutWords words;
#pragma unroll
    for (int i = 0; i < kScoresOfLane; ++i) {
      const bool new_block = i == 0 || Unit::Scores::held(0, i) / 4 != Unit::Scores::held(0, i - 1) / 4;
      if (!words.keeps(p_, rules_[t], key_of(first_key, i), new_block)) s[i] = 0;
    }
  }

  AULE_DEVICE void finish_row(int t) {
    const float sum = Unit::sum(sum_[t]);
    float inverse = sum == 0 ? 0.0f : 1.0f / sum;
    if (kFeatures && args_.features & AULE_FEATURE_DROPOUT) inverse *= p_.dropout_scale;
    const float natural = kFeatures ? maximum_[t] : maximum_[t] * AULE_LN2;
    const float lse = sum == 0 ? -kInfinity : natural + log2(sum) * AULE_LN2;
    const auto [head, query, exists] = place_of(row_in_tile(t));  // again: no registers held over the loop
    if (!exists) return;
    const int first_column = task_.slice * kSliceV;
    const bool writes_lse = group_ == 0 && task_.slice == 0;
    if (p_.splits > 1) {
      const long row =
          ((static_cast<long>(task_.split) * p_.batch + task_.batch) * p_.heads_q + head) * p_.seq_q + query;
      store<float>(t, {args_.partial_out + row * p_.head_dim_v, 1, p_.head_dim_v, first_column, p_.head_dim_v % 4 == 0},
                   inverse, sum == 0);
      // Not as one number: beside the lowest float, which hides keys in many masks, the sum would be lost.
      if (writes_lse) {
        args_.partial_statistics[2 * row] = sum == 0 ? -kInfinity : natural;
        args_.partial_statistics[2 * row + 1] = sum;
      }
      return;
    }
    T* out = static_cast<T*>(args_.out) + p_.out_.offset + static_cast<long>(task_.batch) * p_.out_.batch +
             static_cast<long>(head) * p_.out_.head + static_cast<long>(query) * p_.out_.row;
    store<T>(t, {out, p_.out_.column, p_.head_dim_v, first_column, !kFeatures || (args_.wide & kWideOut) != 0}, inverse,
             sum == 0);
    if (writes_lse && args_.lse != nullptr) {
      args_.lse[p_.lse.offset + static_cast<long>(task_.batch) * p_.lse.batch + static_cast<long>(head) * p_.lse.head +
                static_cast<long>(query) * p_.lse.row] = lse;
    }
  }
  /// A hidden row is 0: 0 times an infinite V would be NaN.
  template <class Out>
  AULE_DEVICE void store(int t, const OutputRow<Out>& out, float inverse, bool hidden) {
    store_row<Unit>(out_[t], group_, out, inverse, hidden);
  }

  const ForwardArgs& args_;
  const kernels::AttentionParams& p_;
  Unit16 *shared_k_, *shared_v_, *shared_q_;
  int lane_, group_;
  ForwardTask task_;
  int wave_first_query_, wave_last_query_, split_last_key_;
  bool wave_has_rows_;
  GlobalRows<T> k_, v_;
  KBlock next_k_;
  VBlock next_v_;
  // Of each row tile:
  QueryRules rules_[kRowTiles];
  float maximum_[kRowTiles], sum_[kRowTiles];
  Fragment q_[kConfig.q_in_registers ? kRowTiles : 1][kConfig.q_in_registers ? kScoreSteps : 1];
  Accumulator out_[kRowTiles][kValueTiles];
};

}  // namespace aule::hip
