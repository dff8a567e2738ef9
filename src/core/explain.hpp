// The text of explain().
#pragma once

#include <string>
#include <string_view>

#include "core/dispatch.hpp"

namespace aule {

/// What the dispatcher's back ends make of a problem. `wanted` is the back end that was asked for, or empty.
std::string explain_problem(const Dispatcher& dispatcher, const AttentionProblem& problem, std::string_view wanted);

}  // namespace aule
