// Numbers and sizes as text, for error messages and explain().
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace aule {

/// "(2, 8, 128, 64)"
inline std::string format_sizes(const std::vector<std::int64_t>& sizes) {
  std::string text = "(";
  for (const std::int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + ")";
}

inline std::string format_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

/// "1.5 MiB"
inline std::string format_bytes(std::int64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  const char* units[] = {"KiB", "MiB", "GiB", "TiB"};
  double amount = static_cast<double>(bytes) / 1024;
  int unit = 0;
  for (; amount >= 1024 && unit < 3; ++unit) amount /= 1024;
  char text[48];
  std::snprintf(text, sizeof text, "%.1f %s", amount, units[unit]);
  return text;
}

}  // namespace aule
