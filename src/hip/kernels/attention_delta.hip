// Before and after the backward kernels: delta = sum over columns of out dout, less dlse (a wave for each row), and the
// gradient of the sinks (a workgroup for each head, in a fixed order). Compiled with -DAULE_ELEMENT=half|bfloat|float.
#include "hip/kernels/device.h"
#include "hip/kernels/kernel_args.h"
#include "hip/kernels/reduce.h"

namespace aule::hip {
namespace {

constexpr int kWaves = kReduceRows;

AULE_DEVICE long at(const kernels::TensorLayout& layout, int batch, int head, int row) {
  return layout.offset + static_cast<long>(batch) * layout.batch + static_cast<long>(head) * layout.head +
         static_cast<long>(row) * layout.row;
}

AULE_DEVICE void delta(const BackwardArgs& args) {
  using T = AULE_ELEMENT;
  const kernels::AttentionParams& p = args.params;
  const long row = static_cast<long>(workgroup_index()) * kWaves + wave_index();
  if (row >= static_cast<long>(p.batch) * p.heads_q * p.seq_q) return;
  const int query = static_cast<int>(row % p.seq_q), batch = static_cast<int>(row / p.seq_q / p.heads_q);
  const int head = static_cast<int>(row / p.seq_q % p.heads_q), lane = thread_index() % kWave;
  const T* out = static_cast<const T*>(args.out) + at(p.out_, batch, head, query);
  const T* dout = static_cast<const T*>(args.dout) + at(p.dout, batch, head, query);
  float sum = 0;
  for (int column = lane; column < p.head_dim_v; column += kWave) {
    sum += static_cast<float>(out[static_cast<long>(column) * p.out_.column]) *
           static_cast<float>(dout[static_cast<long>(column) * p.dout.column]);
  }
  sum = wave_sum(sum);
  if (lane != 0) return;
  if (args.dlse != nullptr) sum -= args.dlse[at(p.dlse, batch, head, query)];
  args.delta[row] = sum;
}

/// d sink = - sum over the head's rows of exp(sink - lse) delta.
AULE_DEVICE void sinks_gradient(const BackwardArgs& args) {
  __attribute__((shared)) static float sums[kWaves];
  const kernels::AttentionParams& p = args.params;
  const int head = workgroup_index();
  const float sink = args.sinks[p.sinks.offset + head * p.sinks.head];
  const long rows = static_cast<long>(p.batch) * p.seq_q;
  float sum = 0;
  for (long n = thread_index(); n < rows; n += kWaves * kWave) {
    const int batch = static_cast<int>(n / p.seq_q), query = static_cast<int>(n % p.seq_q);
    const float lse = args.lse[at(p.lse, batch, head, query)];
    const float probability = is_minus_infinity(lse) ? 0.0f : exp2((sink - lse) * AULE_LOG2E);
    sum -= probability * args.delta[(static_cast<long>(batch) * p.heads_q + head) * p.seq_q + query];
  }
  sum = wave_sum(sum);
  if (thread_index() % kWave == 0) sums[wave_index()] = sum;
  barrier();
  if (thread_index() != 0) return;
  const int target = p.dsinks.offset + head * p.dsinks.head;
  float total = p.accumulate & 2 ? args.dsinks[target] : 0.0f;
  for (int wave = 0; wave < kWaves; ++wave) total += sums[wave];
  args.dsinks[target] = total;
}

}  // namespace
}  // namespace aule::hip

#define AULE_THREADS (aule::hip::kWaves * aule::hip::kWave)

AULE_KERNEL(AULE_THREADS, 1) void aule_delta(aule::hip::BackwardArgs args) { aule::hip::delta(args); }
AULE_KERNEL(AULE_THREADS, 1) void aule_sinks_gradient(aule::hip::BackwardArgs args) { aule::hip::sinks_gradient(args); }
/// For the host: {rows of a workgroup of aule_delta, threads}.
extern "C" __attribute__((device, used)) const int aule_delta_tiling[2] = {aule::hip::kWaves, AULE_THREADS};
