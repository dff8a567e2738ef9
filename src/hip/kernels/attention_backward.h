// FlashAttention-2 backward (Dao 2023, algorithm 2) without atomics: one mainloop for dQ and for dK and dV. A workgroup
// owns rows of one side (a lane owns one query, or one key) and streams the other:
//   dQ:     S^T = K Q^T,  dP^T = V dO^T,  dQ^T += K^T dS^T
//   dK, dV: S = Q K^T,    dP = dO V^T,    dK^T += Q^T dS,  dV^T += dO^T P
// In both an element of a lane's tile is a pair (query, key), P and dS stay in its registers, and rows that every lane
// reads go through shared memory, once as rows and once transposed.
#pragma once

#include "hip/kernels/backward_config.h"
#include "hip/kernels/rows.h"
#include "hip/kernels/score.h"

namespace aule::hip {

template <class T, int kDimQk, int kDimV, bool kOwnsKeys, bool kFeatures>
class Backward {
  static constexpr BackwardConfig kConfig =
      backward_config(kIsScalar<T> ? UnitKind::kScalar : kUnitKind, sizeof(T), kDimQk, kDimV);
  using Unit = typename SelectUnit<T, kConfig.tile_owners, kConfig.groups, kIsScalar<T>>::Type;
  using Fragment = typename Unit::Fragment;
  using Accumulator = typename Unit::Accumulator;

 public:
  static constexpr int kThreads = kConfig.waves * kWave, kOwners = kConfig.owners(), kBlock = kConfig.block;
  static constexpr int kSliceQk = kConfig.slice_qk, kSliceV = kConfig.slice_v;

 private:
  static constexpr int kPer = kPerUnit<T>;
  static constexpr int kTiles = kBlock / Unit::Scores::kRows, kElements = kTiles * Unit::kAccumulators;
  static constexpr int kStepsQk = kDimQk / Unit::kScoreDepth, kStepsV = kDimV / Unit::kScoreDepth;
  static constexpr int kStreamSteps = kBlock / Unit::kValueDepth;
  static constexpr int kTilesQk = kSliceQk / Unit::Values::kRows, kTilesV = kSliceV / Unit::Values::kRows;
  static_assert(kDimQk % Unit::kScoreDepth == 0 && kDimV % Unit::kScoreDepth == 0);
  static_assert(kBlock % Unit::kValueDepth == 0 && kBlock % Unit::Scores::kRows == 0);
  static_assert(kSliceQk % Unit::Values::kRows == 0 && kSliceV % Unit::Values::kRows == 0);
  static_assert(kTilesQk * Unit::kAccumulators % kPer == 0 && kTilesV * Unit::kAccumulators % kPer == 0);

  // The streamed side: K and V, or Q and dO. "First" is what scores are made of, "second" what dP is made of.
  using First = RowBlock<T, kBlock, kDimQk / kPer, kThreads, kConfig.swizzle>;
  using Second = RowBlock<T, kBlock, kDimV / kPer, kThreads, kConfig.swizzle>;
  using FirstColumns = TransposedBlock<T, kBlock, kSliceQk, kThreads, kConfig.swizzle>;
  using SecondColumns = TransposedBlock<T, kBlock, kSliceV, kThreads, kConfig.swizzle>;
  using OwnFirst = TileLayout<kOwners, kDimQk / kPer, kConfig.swizzle>;
  using OwnSecond = TileLayout<kOwners, kDimV / kPer, kConfig.swizzle>;

  static constexpr int kAtSecond = First::Layout::kSize, kAtFirstColumns = kAtSecond + Second::Layout::kSize;
  static constexpr int kAtSecondColumns = kAtFirstColumns + FirstColumns::Layout::kSize;
  static constexpr int kAtStatistics = kAtSecondColumns + (kOwnsKeys ? SecondColumns::Layout::kSize : 0);
  static constexpr int kAtOwnFirst = kAtStatistics + (kOwnsKeys ? kBlock / 2 : 0);  // two floats a streamed row
  static constexpr int kAtOwnSecond = kAtOwnFirst + (kConfig.owners_in_registers ? 0 : OwnFirst::kSize);

 public:
  static constexpr int kSharedUnits = kAtOwnSecond + (kConfig.owners_in_registers ? 0 : OwnSecond::kSize);

  AULE_DEVICE Backward(const BackwardArgs& args, Unit16* shared)
      : args_(args), p_(args.params), shared_(shared), lane_(thread_index() % kWave), group_(Unit::group(lane_)) {}

  AULE_DEVICE void run() {
    const int owners = kOwnsKeys ? p_.seq_k : p_.seq_q, heads = kOwnsKeys ? p_.heads_kv : p_.heads_q;
    const int blocks = (owners + kOwners - 1) / kOwners;
    const int slices = max(max((p_.head_dim_qk + kSliceQk - 1) / kSliceQk, (p_.head_dim_v + kSliceV - 1) / kSliceV), 1);
    int rest = workgroup_index();
    slice_ = rest % slices;
    rest /= slices;
    head_ = rest % heads;
    rest /= heads;
    batch_ = rest % p_.batch;
    // Causal calls: keys at the start and queries at the end have the most to do.
    first_owner_ = (kOwnsKeys ? rest / p_.batch : blocks - 1 - rest / p_.batch) * kOwners;
    last_owner_ = min(first_owner_ + kOwners, owners) - 1;
    own_in_block_ = wave_index() * Unit::kColumns + Unit::column(lane_);
    own_ = min(first_owner_ + own_in_block_, owners - 1);
    wave_first_ = first_owner_ + wave_index() * Unit::kColumns;
    wave_last_ = min(wave_first_ + Unit::kColumns, owners) - 1;

    load_owners();
#pragma unroll
    for (int i = 0; i < kTilesQk; ++i) first_gradient_[i] = Accumulator{};
#pragma unroll
    for (int i = 0; i < kTilesV; ++i) second_gradient_[i] = Accumulator{};
    const int first_head = kOwnsKeys ? head_ * p_.group_size : head_;
    const int last_head = kOwnsKeys ? first_head + p_.group_size - 1 : head_;
    for (int head = first_head; head <= last_head; ++head) stream(head);
    store_gradients(first_owner_ + own_in_block_ < owners);
  }

 private:
  AULE_DEVICE GlobalRows<T> queries(int head) const {
    return rows_of<T>(args_.q, p_.q, batch_, head, p_.seq_q, p_.head_dim_qk, (args_.wide & kWideQ) != 0);
  }
  AULE_DEVICE GlobalRows<T> keys() const {
    const int head = kOwnsKeys ? head_ : head_ / p_.group_size;
    return rows_of<T>(args_.k, p_.k, batch_, head, p_.seq_k, p_.head_dim_qk, (args_.wide & kWideK) != 0);
  }
  AULE_DEVICE GlobalRows<T> values() const {
    const int head = kOwnsKeys ? head_ : head_ / p_.group_size;
    return rows_of<T>(args_.v, p_.v, batch_, head, p_.seq_k, p_.head_dim_v, (args_.wide & kWideV) != 0);
  }
  AULE_DEVICE GlobalRows<T> gradients_of_out(int head) const {
    return rows_of<T>(args_.dout, p_.dout, batch_, head, p_.seq_q, p_.head_dim_v, (args_.wide & kWideDout) != 0);
  }

  AULE_DEVICE void load_owners() {
    const GlobalRows<T> first = kOwnsKeys ? keys() : queries(head_);
    const GlobalRows<T> second = kOwnsKeys ? values() : gradients_of_out(head_);
    if constexpr (kConfig.owners_in_registers) {
      load_fragments(first, own_first_);
      load_fragments(second, own_second_);
    } else {
      share_rows<OwnFirst, kDimQk / kPer>(first, shared_ + kAtOwnFirst);
      share_rows<OwnSecond, kDimV / kPer>(second, shared_ + kAtOwnSecond);
    }
  }
  template <int kSteps>
  AULE_DEVICE void load_fragments(const GlobalRows<T>& source, Fragment (&fragments)[kSteps]) {
#pragma unroll
    for (int c = 0; c < kSteps; ++c) {
#pragma unroll
      for (int j = 0; j < Unit::kUnits; ++j) {
        const int unit = c * (Unit::kScoreDepth / kPer) + Unit::score_unit(group_, j);
        fragments[c].unit[j] = source.template load_row<kFeatures>(own_, unit);
      }
    }
  }
  template <class Layout, int kRowUnits>
  AULE_DEVICE void share_rows(const GlobalRows<T>& source, Unit16* shared) {
    for (int n = thread_index(); n < kOwners * kRowUnits; n += kThreads) {
      const int row = min(first_owner_ + n / kRowUnits, source.rows - 1), unit = n % kRowUnits;
      shared[Layout::at(n / kRowUnits, unit)] = source.template load_row<kFeatures>(row, unit);
    }
  }
  AULE_DEVICE Fragment own_first(int step) const {
    if constexpr (kConfig.owners_in_registers) return own_first_[step];
    return column_fragment<Unit, OwnFirst>(shared_ + kAtOwnFirst, own_in_block_, group_, step);
  }
  AULE_DEVICE Fragment own_second(int step) const {
    if constexpr (kConfig.owners_in_registers) return own_second_[step];
    return column_fragment<Unit, OwnSecond>(shared_ + kAtOwnSecond, own_in_block_, group_, step);
  }

  /// All blocks of the streamed side for one query head.
  AULE_DEVICE void stream(int head) {
    const int lower = kOwnsKeys ? first_owner_ - p_.band_upper : first_owner_ + p_.band_lower;
    const int upper = kOwnsKeys ? last_owner_ - p_.band_lower : last_owner_ + p_.band_upper;
    const int rows = kOwnsKeys ? p_.seq_q : p_.seq_k;
    const int first = max(lower, 0) / kBlock * kBlock, last = min(upper, rows - 1);
    if (first > last) return;
    head_rules_ = head_rules(p_, args_.alibi_slopes, batch_, head);
    if constexpr (!kOwnsKeys) {
      own_lse_ = statistic(args_.lse, head, own_);
      own_delta_ = delta(head, own_);
    }
    const GlobalRows<T> of_first = kOwnsKeys ? queries(head) : keys();
    const GlobalRows<T> of_second = kOwnsKeys ? gradients_of_out(head) : values();
    load_block(of_first, of_second, head, first);
    for (int row = first; row <= last; row += kBlock) {
      barrier();
      store_block();
      barrier();
      if (row + kBlock <= last) load_block(of_first, of_second, head, row + kBlock);
      const int block_last = row + kBlock - 1;
      const bool hidden =
          kOwnsKeys ? rule_band_hides_all(row, block_last, wave_first_, wave_last_, p_.band_lower, p_.band_upper)
                    : rule_band_hides_all(wave_first_, wave_last_, row, block_last, p_.band_lower, p_.band_upper);
      if (wave_first_ <= wave_last_ && !hidden) multiply_block(row, rows);
    }
  }
  /// lse in the units of `logits`: natural with features, times log2(e) without.
  AULE_DEVICE float statistic(const float* lse, int head, int query) const {
    const long index = p_.lse.offset + static_cast<long>(batch_) * p_.lse.batch +
                       static_cast<long>(head) * p_.lse.head + static_cast<long>(query) * p_.lse.row;
    const float value = lse[index];
    return is_minus_infinity(value) ? 0.0f : kFeatures ? value : value * AULE_LOG2E;  // a hidden row's logits are -inf
  }
  AULE_DEVICE float delta(int head, int query) const {
    return args_.delta[(static_cast<long>(batch_) * p_.heads_q + head) * p_.seq_q + query];
  }

  AULE_DEVICE void load_block(const GlobalRows<T>& first, const GlobalRows<T>& second, int head, int row) {
    next_first_.template load<kFeatures>(first, row);
    next_second_.template load<kFeatures>(second, row);
    next_first_columns_.template load<kFeatures>(first, row, slice_ * (kSliceQk / kPer));
    if constexpr (kOwnsKeys) {
      next_second_columns_.template load<kFeatures>(second, row, slice_ * (kSliceV / kPer));
      const int query = row + thread_index() % kBlock;  // beyond the end: probability 0
      const int existing = min(query, p_.seq_q - 1);
      next_lse_ = query < p_.seq_q ? statistic(args_.lse, head, existing) : kInfinity;
      next_delta_ = query < p_.seq_q ? delta(head, existing) : 0.0f;
    }
  }
  AULE_DEVICE void store_block() {
    const auto score_order = [](int index) { return Unit::Scores::stored_row(index); };
    const auto value_order = [](int index) { return Unit::Values::stored_row(index); };
    next_first_.store(shared_, score_order);
    next_second_.store(shared_ + kAtSecond, score_order);
    next_first_columns_.store(shared_ + kAtFirstColumns, value_order);
    if constexpr (kOwnsKeys) {
      next_second_columns_.store(shared_ + kAtSecondColumns, value_order);
      if (thread_index() < kBlock) {
        statistics()[thread_index()] = next_lse_;
        statistics()[kBlock + thread_index()] = next_delta_;
      }
    }
  }
  AULE_DEVICE float* statistics() const { return reinterpret_cast<float*>(shared_ + kAtStatistics); }

  AULE_DEVICE void multiply_block(int first_row, int rows) {
    Accumulator scores[kTiles], products[kTiles];
    product<kStepsQk, typename First::Layout>(shared_, scores, [&](int step) { return own_first(step); });
    product<kStepsV, typename Second::Layout>(shared_ + kAtSecond, products,
                                              [&](int step) { return own_second(step); });
    const int last_row = first_row + kBlock - 1;
    const bool whole =
        last_row < rows &&
        (kOwnsKeys ? rule_band_hides_none(first_row, last_row, wave_first_, wave_last_, p_.band_lower, p_.band_upper)
                   : rule_band_hides_none(wave_first_, wave_last_, first_row, last_row, p_.band_lower, p_.band_upper));
    float probabilities[kElements], dscores[kElements];
    gradients_of_scores(first_row, whole, scores, products, probabilities, dscores);
    end_of_phase();
    accumulate<kTilesQk, typename FirstColumns::Layout>(shared_ + kAtFirstColumns, dscores, first_gradient_);
    if constexpr (kOwnsKeys) {
      accumulate<kTilesV, typename SecondColumns::Layout>(shared_ + kAtSecondColumns, probabilities, second_gradient_);
    }
    end_of_phase();
  }
  template <int kSteps, class Layout, class Own>
  AULE_DEVICE void product(const Unit16* shared, Accumulator (&tiles)[kTiles], const Own& own) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) tiles[i] = Accumulator{};
    pipelined<Unit, kSteps * kTiles>(
        [&](int n) { return score_fragment<Unit, Layout>(shared, lane_, group_, n % kTiles, n / kTiles); },
        [&](int n, const Fragment& a) { Unit::multiply(a, own(n / kTiles), tiles[n % kTiles]); });
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      Unit::finish(tiles[i]);
      pin(tiles[i]);
    }
  }
  template <int kGradientTiles, class Layout>
  AULE_DEVICE void accumulate(const Unit16* shared, const float (&elements)[kElements],
                              Accumulator (&gradient)[kGradientTiles]) {
    Fragment b[kStreamSteps];
#pragma unroll
    for (int c = 0; c < kStreamSteps; ++c) {
      float chunk[kPer];
#pragma unroll
      for (int e = 0; e < kPer; ++e) chunk[e] = elements[c * kPer + e];
      b[c] = Unit::probabilities(chunk, group_);
    }
    pipelined<Unit, kStreamSteps * kGradientTiles>(
        [&](int n) {
          return value_fragment<Unit, Layout>(shared, lane_, group_, n % kGradientTiles, n / kGradientTiles);
        },
        [&](int n, const Fragment& a) { Unit::multiply(a, b[n / kGradientTiles], gradient[n % kGradientTiles]); });
  }

  /// p = exp(logit - lse); dS = p (dropout dP - delta), without the scale, which the end multiplies.
  AULE_DEVICE void gradients_of_scores(int first_row, bool whole, const Accumulator (&scores)[kTiles],
                                       const Accumulator (&products)[kTiles], float (&probabilities)[kElements],
                                       float (&dscores)[kElements]) {
    DropoutWords words;
    const int mask_step = kFeatures ? opaque(p_.mask.column) : 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const int held = Unit::Scores::held(group_, i), streamed = first_row + held;
      const int query = kOwnsKeys ? streamed : own_, key = kOwnsKeys ? own_ : streamed;
      const float lse = kOwnsKeys ? statistics()[held] : own_lse_;
      const float row_delta = kOwnsKeys ? statistics()[kBlock + held] : own_delta_;
      const float s = Unit::element(scores[i / Unit::kAccumulators], i % Unit::kAccumulators);
      float dp = Unit::element(products[i / Unit::kAccumulators], i % Unit::kAccumulators);
      float slope = 1.0f, p;
      if constexpr (kFeatures) {
        const QueryRules rules = query_rules(p_, head_rules_, min(query, p_.seq_q - 1));
        p = exp2((logit<T>(args_, rules, key, mask_step, s, slope) - lse) * AULE_LOG2E);
        probabilities[i] = p;
        if (args_.features & AULE_FEATURE_DROPOUT) {
          // Neighbours of a lane that owns a query share words; those of one that owns a key do not.
          const bool new_block =
              kOwnsKeys || i == 0 || Unit::Scores::held(0, i) / 4 != Unit::Scores::held(0, i - 1) / 4;
          const bool keep = words.keeps(p_, rules, key, new_block);
          probabilities[i] = keep ? p : 0.0f;
          dp = keep ? dp * p_.dropout_scale : 0.0f;
        }
        if (i % 4 == 3) end_of_phase();
      } else {
        const bool seen = whole || (key < p_.seq_k && rule_in_band(query, key, p_.band_lower, p_.band_upper));
        p = seen ? exp2(__builtin_fmaf(s, p_.scale * AULE_LOG2E, -lse)) : 0.0f;
        probabilities[i] = p;
      }
      dscores[i] = p * (dp - row_delta) * slope;
    }
  }

  AULE_DEVICE void store_gradients(bool exists) {
    if (!exists) return;
    const float of_values = kFeatures && args_.features & AULE_FEATURE_DROPOUT ? p_.dropout_scale : 1.0f;
    if constexpr (kOwnsKeys) {
      store<kTilesQk>(first_gradient_, {args_.dk, p_.dk, p_.head_dim_qk, slice_ * kSliceQk, kWideDk}, p_.scale);
      store<kTilesV>(second_gradient_, {args_.dv, p_.dv, p_.head_dim_v, slice_ * kSliceV, kWideDv}, of_values);
    } else {
      store<kTilesQk>(first_gradient_, {args_.dq, p_.dq, p_.head_dim_qk, slice_ * kSliceQk, kWideDq}, p_.scale);
    }
  }
  struct Target {
    void* data;
    const kernels::TensorLayout& layout;
    int columns, first_column, wide;
  };
  template <int kGradientTiles>
  AULE_DEVICE void store(const Accumulator (&gradient)[kGradientTiles], const Target& target, float factor) {
    if (target.data == nullptr) return;
    const auto& layout = target.layout;
    T* row = static_cast<T*>(target.data) + layout.offset + static_cast<long>(batch_) * layout.batch +
             static_cast<long>(head_) * layout.head + static_cast<long>(own_) * layout.row;
    store_row<Unit, kGradientTiles, T>(
        gradient, group_,
        {row, layout.column, target.columns, target.first_column, !kFeatures || (args_.wide & target.wide) != 0},
        factor, false);
  }

  const BackwardArgs& args_;
  const kernels::AttentionParams& p_;
  Unit16* shared_;
  int lane_, group_;
  int batch_, head_, slice_;
  int first_owner_, last_owner_, wave_first_, wave_last_;
  int own_in_block_, own_;
  HeadRules head_rules_;
  float own_lse_, own_delta_, next_lse_, next_delta_;
  First next_first_;
  Second next_second_;
  FirstColumns next_first_columns_;
  SecondColumns next_second_columns_;
  Fragment own_first_[kConfig.owners_in_registers ? kStepsQk : 1];
  Fragment own_second_[kConfig.owners_in_registers ? kStepsV : 1];
  Accumulator first_gradient_[kTilesQk], second_gradient_[kTilesV];
};

}  // namespace aule::hip
