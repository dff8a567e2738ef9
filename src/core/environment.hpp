// Variables of the environment. A program that sets some while other threads run is wrong whoever reads them.
#pragma once

#include <cstdlib>
#include <string>

namespace aule {

/// The text of a variable; empty where it is not set.
inline std::string environment(const char* name) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here sets variables
  return text == nullptr ? "" : text;
}

}  // namespace aule
