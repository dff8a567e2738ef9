// The standard library's exceptions as Error, which is all that the public functions throw.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>

#include "aule/aule.hpp"

namespace aule {

/// Runs `body` and returns what it returns.
template <class Body>
auto translate_exceptions(const Body& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, "out of host memory");
  } catch (const std::length_error&) {
    throw Error(ErrorCode::kOutOfMemory, "out of host memory");
  } catch (const std::exception& error) {  // such as std::system_error where no thread can be started
    throw Error(ErrorCode::kInternal, error.what());
  }
}

}  // namespace aule
