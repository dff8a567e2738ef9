// Joins the partial results of splits of the keys: a wave for each row, its lanes over the columns. Compiled with
// -DAULE_ELEMENT=half|bfloat|float.
#include "hip/kernels/device.h"
#include "hip/kernels/kernel_args.h"
#include "hip/kernels/reduce.h"

namespace aule::hip {
namespace {

constexpr int kWaves = kReduceRows;

/// Of a split's result for a row: the sum of its probabilities, in units of exp(base).
AULE_DEVICE float weight_of(const ForwardArgs& args, long row, float base) {
  return args.partial_statistics[2 * row + 1] * exp2((args.partial_statistics[2 * row] - base) * AULE_LOG2E);
}

AULE_DEVICE void combine(const ForwardArgs& args) {
  using T = AULE_ELEMENT;
  const kernels::AttentionParams& p = args.params;
  const long rows = static_cast<long>(p.batch) * p.heads_q * p.seq_q;
  const long row = static_cast<long>(workgroup_index()) * kWaves + wave_index();
  if (row >= rows) return;
  const int lane = thread_index() % kWave;
  float largest = -kInfinity;
  for (int split = lane; split < p.splits; split += kWave) {
    largest = max(largest, args.partial_statistics[2 * (split * rows + row)]);
  }
  largest = wave_maximum(largest);
  const float base = is_minus_infinity(largest) ? 0.0f : largest;
  float sum = 0;
  for (int split = lane; split < p.splits; split += kWave) {
    sum += weight_of(args, split * rows + row, base);
  }
  sum = wave_sum(sum);
  const float inverse = sum == 0 ? 0.0f : 1.0f / sum;

  const int query = static_cast<int>(row % p.seq_q), batch = static_cast<int>(row / p.seq_q / p.heads_q);
  const int head = static_cast<int>(row / p.seq_q % p.heads_q);
  T* out = static_cast<T*>(args.out) + p.out_.offset + static_cast<long>(batch) * p.out_.batch +
           static_cast<long>(head) * p.out_.head + static_cast<long>(query) * p.out_.row;
  for (int column = lane; column < p.head_dim_v; column += kWave) {
    float value = 0;
    for (int split = 0; split < p.splits; ++split) {
      const float weight = weight_of(args, split * rows + row, base) * inverse;
      value += weight * args.partial_out[(split * rows + row) * p.head_dim_v + column];
    }
    out[static_cast<long>(column) * p.out_.column] = static_cast<T>(value);
  }
  if (lane == 0 && args.lse != nullptr) {
    args.lse[p.lse.offset + static_cast<long>(batch) * p.lse.batch + static_cast<long>(head) * p.lse.head +
             static_cast<long>(query) * p.lse.row] = sum == 0 ? -kInfinity : base + log2(sum) * AULE_LN2;
  }
}

}  // namespace
}  // namespace aule::hip

AULE_KERNEL(aule::hip::kWaves* aule::hip::kWave, 1) void aule_combine(aule::hip::ForwardArgs args) {
  aule::hip::combine(args);
}
/// For the host: {rows of a workgroup, threads}.
extern "C" __attribute__((device, used))
const int aule_combine_tiling[2] = {aule::hip::kWaves, aule::hip::kWaves * aule::hip::kWave};
