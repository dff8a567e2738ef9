// Executes AMX instructions on processors without AMX, so that the very code that a processor with AMX runs is tested
// anywhere: the illegal-instruction signal brings them here one by one.
#pragma once

namespace aule::test {

/// Installs the handler, until somebody installs another. False where this is not x86-64 Linux.
bool emulate_amx();

/// Tile instructions executed so far by all threads.
long emulated_amx_instructions();

}  // namespace aule::test
