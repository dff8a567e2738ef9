// The specification: attention and its gradient as plain loops in double. Slow on purpose; memory is linear in the
// sequence, but for a copy of the mask's gradient.
#pragma once

#include "core/problem.hpp"

namespace aule::reference {

void forward(const AttentionProblem& problem, const AttentionArgs& args);
void backward(const AttentionProblem& problem, const AttentionArgs& args);

}  // namespace aule::reference
