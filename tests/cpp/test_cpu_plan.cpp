// The CPU back end's plans on invented machines: what every plan must hold, whatever runs the test.
#include <tuple>

#include "cpu/config.hpp"
#include "cpu/kernels.hpp"
#include "helpers.hpp"

using namespace aule;
using namespace aule::cpu;
using namespace aule::test;

namespace {

struct Machine {
  SimdTraits simd = {};
  DeviceInfo device;
};

Machine machine(const char* name, std::int64_t vector_bytes, std::int64_t max_vectors, std::int64_t l2_bytes,
                bool bf16_dot = false) {
  Machine m;
  m.simd.name = name;
  m.device.architecture = name;
  m.simd.vector_bytes = m.device.vector_bytes = vector_bytes;
  m.simd.max_vectors = max_vectors;
  m.simd.bf16_dot = m.device.bf16_dot = bf16_dot;
  m.device.backend = "cpu";
  m.device.l2_bytes = l2_bytes;
  m.device.parallelism = 2;
  return m;
}

std::vector<Machine> machines() {
  return {machine("old laptop", 16, 4, 256 << 10), machine("desktop", 32, 4, 512 << 10),
          machine("server", 64, 4, 2 << 20), machine("server with bf16", 64, 4, 2 << 20, true),
          machine("no cache at all", 16, 4, 1)};
}

AttentionProblem problem(DType dtype, Pass pass, std::int64_t seq_q, std::int64_t seq_k, std::int64_t head_dim,
                         std::int64_t heads_q = 8, std::int64_t heads_kv = 2) {
  AttentionProblem p;
  p.pass = pass, p.dtype = dtype;
  p.batch = 1, p.heads_q = heads_q, p.heads_kv = heads_kv;
  p.seq_q = seq_q, p.seq_k = seq_k, p.head_dim_qk = p.head_dim_v = head_dim;
  return p;
}

std::vector<AttentionProblem> problems() {
  std::vector<AttentionProblem> list;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      for (const auto& [seq_q, seq_k] : {std::pair{1, 1}, {1, 100'000}, {8, 2048}, {77, 33}, {4096, 4096}, {3, 0}}) {
        for (const std::int64_t head_dim : {1, 64, 576}) {
          list.push_back(problem(dtype, pass, seq_q, seq_k, head_dim));
          list.push_back(problem(dtype, pass, seq_q, seq_k, head_dim, 1, 1));
        }
      }
    }
  }
  return list;
}

/// Everything of a plan that can change the bits of a result.
auto bits_of(const CpuConfig& c) {
  return std::tuple(c.operand, c.lanes, c.panel_rows, c.task_panels, c.block_k, c.split_keys, c.splits, c.chunks,
                    c.fold_heads);
}

}  // namespace

TEST_CASE("cpu plan: rows come in whole vectors, and splits cover the keys") {
  for (const Machine& m : machines()) {
    for (const AttentionProblem& p : problems()) {
      CAPTURE(std::string(m.simd.name));
      CAPTURE(to_string(p));
      const CpuConfig c = make_config(p, m.simd, m.device);
      CHECK(c.lanes * (p.dtype == DType::kFloat64 ? 8 : 4) == m.simd.vector_bytes);
      CHECK(c.panel_rows % c.lanes == 0);
      CHECK(c.panel_rows > 0);
      CHECK(c.task_panels >= 1);
      CHECK(c.block_k >= 1);
      CHECK(c.chunks >= 1);
      if (c.splits > 1) CHECK((c.splits - 1) * c.split_keys < p.seq_k);
      if (c.splits > 1) CHECK(c.splits * c.split_keys >= p.seq_k);
      if (p.dtype == DType::kBFloat16 && !m.simd.bf16_dot) CHECK(c.operand == Operand::kFloat32);
      CHECK((c.operand == Operand::kFloat64) == (p.dtype == DType::kFloat64));
      CHECK(split_elements(p, c) >= 0);
      CHECK(gradient_elements(p, c) >= 0);
      CHECK(forward_tasks(p, c) >= c.splits);
    }
  }
}

TEST_CASE("cpu plan: neither threads nor the batch change the bits of a row") {
  for (const Machine& m : machines()) {
    Machine many_cores = m;
    many_cores.device.parallelism = 192;
    for (const AttentionProblem& p : problems()) {
      CAPTURE(std::string(m.simd.name));
      CAPTURE(to_string(p));
      AttentionProblem batched = p;
      batched.batch = 64;
      const CpuConfig one = make_config(p, m.simd, m.device);
      CHECK(bits_of(make_config(p, m.simd, many_cores.device)) == bits_of(one));
      CHECK(bits_of(make_config(batched, m.simd, m.device)) == bits_of(one));
      CHECK(forward_tasks(batched, one) == 64 * forward_tasks(p, one));
    }
  }
}

TEST_CASE("cpu plan: a long decode is split, a prompt and a training step are not") {
  for (const Machine& m : machines()) {
    const auto splits = [&m](const AttentionProblem& p) { return make_config(p, m.simd, m.device).splits; };
    CHECK(splits(problem(DType::kFloat16, Pass::kForward, 1, 32768, 128, 32, 8)) > 8);
    CHECK(splits(problem(DType::kFloat16, Pass::kForward, 1, 64, 128, 32, 8)) == 1);
    CHECK(splits(problem(DType::kFloat16, Pass::kForward, 4096, 4096, 128, 32, 8)) == 1);
    CHECK(splits(problem(DType::kFloat16, Pass::kBackward, 1, 32768, 128, 32, 8)) == 1);
  }
}

TEST_CASE("cpu plan: memory is linear in the sequence") {
  for (const Machine& m : machines()) {
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      const auto elements = [&](std::int64_t seq_q, std::int64_t seq_k) {
        const AttentionProblem p = problem(DType::kFloat32, pass, seq_q, seq_k, 64);
        const CpuConfig c = make_config(p, m.simd, m.device);
        return split_elements(p, c) + gradient_elements(p, c);
      };
      CHECK(elements(1 << 16, 1 << 16) <= 2 * elements(1 << 15, 1 << 15));
      CHECK(elements(1, 1 << 20) <= 2 * elements(1, 1 << 19));
    }
  }
}
