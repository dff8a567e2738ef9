// Blocks of K and V in shared memory, in 16-byte units, and the way there: global memory -> registers (while the block
// before is being multiplied) -> shared memory.
#pragma once

#include "hip/kernels/element.h"
#include "hip/kernels/lane_map.h"

namespace aule::hip {

/// kRows rows of kRowUnits units. Eight lanes that read one unit each of eight neighbouring rows meet 32 banks: by an
/// exclusive-or of the unit with the row (rows of a multiple of 8 units only), or by rows of an odd number of units.
template <int kRows, int kRowUnits, bool kSwizzle>
struct TileLayout {
  static constexpr bool kExclusiveOr = kSwizzle && kRowUnits % 8 == 0;
#if defined(__NVPTX__)  // four lanes share a row here: two rows of four units meet 32 banks
  static constexpr int kStride = (kRowUnits + 3) / 8 * 8 + 4;
#else
  static constexpr int kStride = kExclusiveOr ? kRowUnits : kRowUnits | 1;
#endif
  static constexpr int kSize = kRows * kStride;  ///< in units

  /// Where the unit lies, in units from the tile's start.
  AULE_DEVICE static int at(int row, int unit) { return row * kStride + (kExclusiveOr ? unit ^ (row % 8) : unit); }
};

/// A matrix of a head in global memory, rows `row_step` elements apart.
template <class T>
struct GlobalRows {
  const T* base;
  int row_step, column_step, rows, columns;
  bool wide;  ///< 16-byte loads can read it

  AULE_DEVICE BoundedMemory bounded() const {
    const long bytes = (static_cast<long>(rows - 1) * row_step + columns) * static_cast<long>(sizeof(T));
    return BoundedMemory(base, rows > 0 ? static_cast<uint>(bytes) : 0u);
  }
  /// Unit `unit` of a row, 0 outside of the matrix.
  AULE_DEVICE Unit16 load_wide(const BoundedMemory& memory, int row, int unit) const {
    const uint offset = static_cast<uint>(row) * static_cast<uint>(row_step) * sizeof(T) + unit * 16;
    const bool inside = static_cast<int>(row < rows) & static_cast<int>(unit * kPerUnit<T> < columns);  // no branch
    return memory.load(inside ? offset : kNowhere);
  }
  AULE_DEVICE Unit16 load_any(int row, int unit) const {
    const int first = unit * kPerUnit<T>;
    const int count = row < rows ? columns - first : 0;
    return gather_unit(base + (static_cast<long>(row) * row_step + static_cast<long>(first) * column_step), column_step,
                       count);
  }
  /// By pointer: for rows whose base differs from lane to lane. The row exists.
  template <bool kAnyLayout>
  AULE_DEVICE Unit16 load_row(int row, int unit) const {
    if (kAnyLayout && !wide) return load_any(row, unit);
    const int first = unit * kPerUnit<T>;
    const T* source = base + static_cast<long>(row) * row_step + (first < columns ? first : 0);
    const Unit16 loaded = *reinterpret_cast<const Unit16*>(source);
    return first < columns ? loaded : Unit16{};
  }
  /// kAnyLayout false: the host has checked that `wide` holds.
  template <bool kAnyLayout>
  AULE_DEVICE Unit16 load(const BoundedMemory& memory, int row, int unit) const {
    if (kAnyLayout && !wide) return load_any(row, unit);
    return load_wide(memory, row, unit);
  }
};

/// The rows of one head of a tensor.
template <class T>
AULE_DEVICE GlobalRows<T> rows_of(const void* data, const kernels::TensorLayout& layout, int batch, int head, int rows,
                                  int columns, bool wide) {
  const long offset = layout.offset + static_cast<long>(batch) * layout.batch + static_cast<long>(head) * layout.head;
  return {static_cast<const T*>(data) + offset, layout.row, layout.column, rows, columns, wide};
}

/// Rows as they are. `order` says which shared row an index goes to.
template <class T, int kRows, int kRowUnits, int kThreads, bool kSwizzle>
class RowBlock {
 public:
  using Layout = TileLayout<kRows, kRowUnits, kSwizzle>;
  static constexpr int kUnits = kRows * kRowUnits, kCopies = (kUnits + kThreads - 1) / kThreads;

  template <bool kAnyLayout>
  AULE_DEVICE void load(const GlobalRows<T>& source, int first_row) {
    const BoundedMemory memory = source.bounded();
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int n = i * kThreads + thread_index();
      // Surplus threads ask for rows beyond the matrix.
      const int row = kUnits % kThreads == 0 || n < kUnits ? first_row + n / kRowUnits : source.rows;
      units_[i] = source.template load<kAnyLayout>(memory, row, n % kRowUnits);
    }
  }
  template <class Order>
  AULE_DEVICE void store(Unit16* tile, const Order& order) const {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int n = i * kThreads + thread_index();
      if (kUnits % kThreads != 0 && n >= kUnits) break;
      tile[Layout::at(order(n / kRowUnits), n % kRowUnits)] = units_[i];
    }
  }

 private:
  Unit16 units_[kCopies];
};

/// Columns as rows: kKeys rows of the source become kKeys columns of the tile. A thread turns patches of kPatch rows
/// by one unit in its registers.
template <class T, int kKeys, int kColumns, int kThreads, bool kSwizzle>
class TransposedBlock {
 public:
  using Layout = TileLayout<kColumns, kKeys / kPerUnit<T>, kSwizzle>;
  static constexpr int kRowUnits = kColumns / kPerUnit<T>;
  /// As many rows as leave every thread something to do, from a word of a tile's row to a unit of it.
  static constexpr int patch_rows() {
    const int share = kKeys * kRowUnits / kThreads;
    if (sizeof(T) == 4) return share >= 4 ? 4 : share >= 2 ? 2 : 1;
    return share >= 8 ? 8 : share >= 4 ? 4 : 2;
  }
  static constexpr int kPatch = patch_rows(), kPatches = kKeys / kPatch * kRowUnits;
  static constexpr int kCopies = (kPatches + kThreads - 1) / kThreads;

  template <bool kAnyLayout>
  AULE_DEVICE void load(const GlobalRows<T>& source, int first_row, int first_column_unit) {
    const BoundedMemory memory = source.bounded();
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int n = i * kThreads + thread_index();
      const bool mine = kPatches % kThreads == 0 || n < kPatches;
#pragma unroll
      for (int k = 0; k < kPatch; ++k) {
        const int row = mine ? first_row + n / kRowUnits * kPatch + k : source.rows;
        rows_[i][k] = source.template load<kAnyLayout>(memory, row, first_column_unit + n % kRowUnits);
      }
    }
  }
  template <class Order>
  AULE_DEVICE void store(Unit16* tile, const Order& order) const {
    using Piece = Vector<uint, kPatch * sizeof(T) / 4>;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int n = i * kThreads + thread_index();
      if (kPatches % kThreads != 0 && n >= kPatches) break;
      const int key = n / kRowUnits * kPatch, unit = key / kPerUnit<T>;
#pragma unroll
      for (int c = 0; c < kPerUnit<T>; ++c) {
        const int row = order(n % kRowUnits * kPerUnit<T> + c);
        T* target = reinterpret_cast<T*>(tile + Layout::at(row, unit)) + key % kPerUnit<T>;
        *reinterpret_cast<Piece*>(target) = transposed_column<T, kPatch>(rows_[i], c);
      }
    }
  }

 private:
  Unit16 rows_[kCopies][kPatch];
};

}  // namespace aule::hip
