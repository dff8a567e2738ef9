#include "amx_emulator.hpp"

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>
#include <ucontext.h>
#include <xmmintrin.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

namespace aule::test {
namespace {

struct Tiles {
  bool configured = false;
  int rows[8] = {}, row_bytes[8] = {};
  alignas(64) std::uint8_t data[8][16][64] = {};
};
thread_local Tiles tiles;
std::atomic<long> executed{0};

constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/// One VEX-encoded instruction of opcode map 0F38 (Intel SDM volume 2, "Instruction Format").
struct Instruction {
  std::uint8_t opcode = 0, prefix = 0;  ///< prefix: 0 none, 1 66, 2 F3, 3 F2
  int mode = 0, reg = 0, rm = 0, source2 = 0;
  std::uint8_t* base = nullptr;  ///< memory operand: base + displacement
  std::int64_t index = 0;        ///< its scaled index, the stride of tile loads and stores
  int length = 0;
};

/// False: no such instruction.
bool decode(const std::uint8_t* at, const greg_t* registers, Instruction& found) {
  if (at[0] != 0xC4 || (at[1] & 0x1F) != 2) return false;
  const auto value = [&](int number) { return static_cast<std::int64_t>(registers[kRegisters[number]]); };
  const int extend_index = (at[1] & 0x40) != 0 ? 0 : 8, extend_base = (at[1] & 0x20) != 0 ? 0 : 8;
  found.prefix = at[2] & 3;
  found.source2 = ~(at[2] >> 3) & 15;
  found.opcode = at[3];
  found.mode = at[4] >> 6;
  found.reg = at[4] >> 3 & 7;
  found.rm = at[4] & 7;
  found.length = 5;
  if (found.mode == 3) return true;
  std::int64_t address = 0;
  if (found.rm == 4) {
    const std::uint8_t sib = at[found.length++];
    const int index = (sib >> 3 & 7) | extend_index;
    if (index != 4) found.index = value(index) * (1 << (sib >> 6));
    if ((sib & 7) == 5 && found.mode == 0) return false;  // absolute addresses: no compiler makes one here
    address = value((sib & 7) | extend_base);
  } else if (found.rm == 5 && found.mode == 0) {  // relative to the next instruction
    std::int32_t displacement = 0;
    std::memcpy(&displacement, at + found.length, 4);
    found.length += 4;
    found.base = reinterpret_cast<std::uint8_t*>(reinterpret_cast<std::uintptr_t>(at) +
                                                 static_cast<std::uintptr_t>(found.length + displacement));
    return true;
  } else {
    address = value(found.rm | extend_base);
  }
  if (found.mode == 1) address += static_cast<std::int8_t>(at[found.length++]);
  if (found.mode == 2) {
    std::int32_t displacement = 0;
    std::memcpy(&displacement, at + found.length, 4);
    found.length += 4;
    address += displacement;
  }
  found.base = reinterpret_cast<std::uint8_t*>(address);
  return true;
}

float bf16(const std::uint8_t* at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, 2);
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// TDPBF16PS as the manual's pseudocode has it: even and odd elements are summed apart, then joined. Products of two
/// bf16 are exact in float, so the manual's fused multiply-add is a multiplication and an addition.
void multiply(int to, int a, int b) {
  for (int m = 0; m < tiles.rows[to]; ++m) {
    float even[16] = {}, odd[16] = {};
    for (int k = 0; k < tiles.row_bytes[a] / 4; ++k) {
      const std::uint8_t* x = tiles.data[a][m] + 4 * k;
      for (int n = 0; n < tiles.row_bytes[to] / 4; ++n) {
        const std::uint8_t* y = tiles.data[b][k] + 4 * n;
        even[n] += bf16(x) * bf16(y);
        odd[n] += bf16(x + 2) * bf16(y + 2);
      }
    }
    for (int n = 0; n < tiles.row_bytes[to] / 4; ++n) {
      float sum = 0;
      std::memcpy(&sum, tiles.data[to][m] + 4 * n, 4);
      sum += even[n] + odd[n];
      std::memcpy(tiles.data[to][m] + 4 * n, &sum, 4);
    }
  }
}

/// The faults that the hardware would raise are answered with false, which ends the process.
bool execute(const Instruction& i) {
  enum : int { kNone = 0, k66 = 1, kF3 = 2, kF2 = 3 };
  const bool memory = i.mode != 3;
  if (i.opcode == 0x49 && i.prefix == kNone && memory) {  // LDTILECFG
    if (i.base[0] != 1) return false;
    tiles = {};
    tiles.configured = true;
    for (int t = 0; t < 8; ++t) {
      tiles.row_bytes[t] = i.base[16 + 2 * t] | i.base[17 + 2 * t] << 8;
      tiles.rows[t] = i.base[48 + t];
      if (tiles.row_bytes[t] > 64 || tiles.rows[t] > 16) return false;
    }
    return true;
  }
  if (!tiles.configured) return false;
  if (i.opcode == 0x49 && i.prefix == kNone) {  // TILERELEASE
    tiles = {};
  } else if (i.opcode == 0x49 && i.prefix == kF2) {  // TILEZERO
    std::memset(tiles.data[i.reg], 0, sizeof(tiles.data[i.reg]));
  } else if (i.opcode == 0x4B && memory && (i.prefix == kF2 || i.prefix == k66)) {  // TILELOADD, TILELOADDT1
    std::memset(tiles.data[i.reg], 0, sizeof(tiles.data[i.reg]));
    for (int r = 0; r < tiles.rows[i.reg]; ++r)
      std::memcpy(tiles.data[i.reg][r], i.base + r * i.index, static_cast<std::size_t>(tiles.row_bytes[i.reg]));
  } else if (i.opcode == 0x4B && memory && i.prefix == kF3) {  // TILESTORED
    for (int r = 0; r < tiles.rows[i.reg]; ++r)
      std::memcpy(i.base + r * i.index, tiles.data[i.reg][r], static_cast<std::size_t>(tiles.row_bytes[i.reg]));
  } else if (i.opcode == 0x5C && i.prefix == kF3 && !memory) {  // TDPBF16PS
    multiply(i.reg, i.rm, i.source2);
  } else {
    return false;
  }
  return true;
}

void on_illegal_instruction(int signal, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  // The hardware takes denormals for zero and flushes them, whatever MXCSR says; the kernel restores it afterwards.
  _mm_setcsr(_mm_getcsr() | 0x8040);
  Instruction instruction;
  if (decode(reinterpret_cast<const std::uint8_t*>(registers[REG_RIP]), registers, instruction) &&
      execute(instruction)) {
    registers[REG_RIP] += instruction.length;
    executed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ::signal(signal, SIG_DFL);  // not ours: the instruction runs again and ends the process
}

}  // namespace

bool emulate_amx() {
  struct sigaction action = {};
  action.sa_sigaction = on_illegal_instruction;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return sigaction(SIGILL, &action, nullptr) == 0;
}

long emulated_amx_instructions() { return executed.load(); }

}  // namespace aule::test

#else

namespace aule::test {
bool emulate_amx() { return false; }
long emulated_amx_instructions() { return 0; }
}  // namespace aule::test

#endif
