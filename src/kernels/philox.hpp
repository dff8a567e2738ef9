// Dropout's random bits: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a
// counter-based generator: the bit of a score depends on (seed, batch and head, query, key) alone, so forward,
// backward, every back end and every split of the work draw the same mask without storing it.
#pragma once

#include <array>
#include <cstdint>

namespace aule::kernels {

inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53u, kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9u, kPhiloxWeyl1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;

/// Four words for counter (key_index / 4, query_index, batch * heads_q + head as 64 bits).
inline std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::array<std::uint32_t, 4> counter) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kPhiloxMultiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{kPhiloxMultiplier1} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return counter;
}

/// A word below this drops its probability.
inline std::uint32_t dropout_threshold(double dropout_p) {
  const double threshold = dropout_p * 4294967296.0;
  return threshold >= 4294967295.0 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(threshold);
}

/// Whether the probability of (query, key) is kept. `batch_head` is batch * heads_q + head of the query.
inline bool dropout_keep(std::uint64_t seed, std::uint64_t batch_head, std::int64_t query, std::int64_t key,
                         double dropout_p) {
  if (dropout_p >= 1.0) return false;
  const auto words =
      philox(seed, {static_cast<std::uint32_t>(key / 4), static_cast<std::uint32_t>(query),
                    static_cast<std::uint32_t>(batch_head), static_cast<std::uint32_t>(batch_head >> 32)});
  return words[key % 4] >= dropout_threshold(dropout_p);
}

}  // namespace aule::kernels
