// Copies blocks of Q, K, V and dO into scratch memory, converted to the operand type of the products, and results back.
// Included once per instruction set (foreach_target).
#if defined(AULE_CPU_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AULE_CPU_PACK_INL_H_
#undef AULE_CPU_PACK_INL_H_
#else
#define AULE_CPU_PACK_INL_H_
#endif

#include <bit>
#include <cstring>

#include "aule/aule.hpp"
#include "cpu/gemm-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace aule::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Elements of T from contiguous memory of any floating-point dtype.
template <class T, class From>
HWY_INLINE void ConvertContiguous(const From* HWY_RESTRICT from, std::int64_t n, T* HWY_RESTRICT to) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  if constexpr (std::is_same_v<T, From>) {
    for (; i + lanes <= n; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  } else {
    const hn::Rebind<From, decltype(d)> df;
    for (; i + lanes <= n; i += lanes) hn::StoreU(hn::PromoteTo(d, hn::LoadU(df, from + i)), d, to + i);
  }
  for (; i < n; ++i) to[i] = hwy::ConvertScalarTo<T>(from[i]);
}

/// n elements of `dtype` at `from`, `stride` apart, as T.
template <class T, class From>
HWY_INLINE void ConvertStrided(const void* from, std::int64_t stride, std::int64_t n, T* HWY_RESTRICT to) {
  const From* source = static_cast<const From*>(from);
  if (stride == 1) return ConvertContiguous(source, n, to);
  for (std::int64_t i = 0; i < n; ++i) to[i] = hwy::ConvertScalarTo<T>(source[i * stride]);
}

template <class T>
void ConvertRow(DType dtype, const void* from, std::int64_t stride, std::int64_t n, T* HWY_RESTRICT to) {
  if constexpr (std::is_same_v<T, double>) {
    ConvertStrided<double, double>(from, stride, n, to);  // float64 problems hold nothing else
  } else {
    switch (dtype) {
      case DType::kFloat16:
        return ConvertStrided<float, hwy::float16_t>(from, stride, n, to);
      case DType::kBFloat16:
        return ConvertStrided<float, hwy::bfloat16_t>(from, stride, n, to);
      default:
        return ConvertStrided<float, float>(from, stride, n, to);
    }
  }
}

inline const void* ElementAt(const void* base, DType dtype, std::int64_t index) {
  return static_cast<const char*>(base) + index * dtype_size(dtype);
}

/// A matrix in the caller's memory.
struct Source {
  const void* data;
  DType dtype;
  std::int64_t row, col;  ///< strides
  const void* row_at(std::int64_t r) const { return ElementAt(data, dtype, r * row); }
};

/// Row-major copy, pairs along the columns: the broadcast operand of products that contract over columns.
template <class T>
void PackRows(const Source& source, std::int64_t rows, std::int64_t cols, T* HWY_RESTRICT to) {
  if constexpr (kPaired<T>) {
    const std::int64_t width = PairedSize<T>(cols);
    for (std::int64_t r = 0; r < rows; ++r, to += width) {
      const std::uint16_t* from = static_cast<const std::uint16_t*>(source.row_at(r));
      std::fill(to + cols / 2, to + width, T{0});
      if (source.col == 1) {
        std::memcpy(to, from, static_cast<std::size_t>(cols) * 2);
      } else {
        for (std::int64_t c = 0; c < cols; c += 2) {
          const std::uint32_t high = c + 1 < cols ? from[(c + 1) * source.col] : 0;
          to[c / 2] = T{from[c * source.col] | high << 16};
        }
      }
    }
  } else {
    for (std::int64_t r = 0; r < rows; ++r) ConvertRow(source.dtype, source.row_at(r), source.col, cols, to + r * cols);
  }
}

/// The same, and zeros up to the rows that a product touches.
template <class T>
void PackPaddedRows(const Source& source, std::int64_t rows, std::int64_t cols, T* HWY_RESTRICT to) {
  PackRows(source, rows, cols, to);
  const std::int64_t width = PairedSize<T>(cols);
  std::fill(to + rows * width, to + PaddedRows<T>(rows) * width, T{0});
}

/// Row-major copy, pairs along the rows: the operand of products that contract over rows. `pitch` is the row length of
/// `to`.
template <class T>
void PackRowPairs(const Source& source, std::int64_t rows, std::int64_t cols, T* HWY_RESTRICT to, std::int64_t pitch) {
  if constexpr (std::is_same_v<T, Bf16Pair>) {
    const hn::ScalableTag<std::uint32_t> d;
    const hn::Rebind<std::uint16_t, decltype(d)> d16;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (std::int64_t r = 0; r < rows; r += 2, to += pitch) {
      const std::uint16_t* even = static_cast<const std::uint16_t*>(source.row_at(r));
      const std::uint16_t* odd = r + 1 < rows ? static_cast<const std::uint16_t*>(source.row_at(r + 1)) : nullptr;
      std::int64_t c = 0;
      if (source.col == 1) {
        for (; c + lanes <= cols; c += lanes) {
          const auto low = hn::PromoteTo(d, hn::LoadU(d16, even + c));
          const auto high = odd ? hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(d16, odd + c))) : hn::Zero(d);
          hn::StoreU(hn::Or(low, high), d, to + c);
        }
      }
      for (; c < cols; ++c) {
        const std::uint32_t high = odd ? odd[c * source.col] : 0;
        to[c] = even[c * source.col] | high << 16;
      }
    }
  } else {
    for (std::int64_t r = 0; r < rows; ++r)
      ConvertRow(source.dtype, source.row_at(r), source.col, cols, to + r * pitch);
  }
}

/// to[c][pair of rows]: what PackRowPairs does, transposed, since AMX wants A's pairs contiguous along the contraction.
/// Padded to whole tiles on both sides.
inline void PackTransposedPairs(const Source& source, std::int64_t rows, std::int64_t cols, TilePair* HWY_RESTRICT to) {
  const std::int64_t pitch = PairedSize<TilePair>(rows);
  std::int64_t first = 0;
#if AULE_CPU_TILES
  // Four pairs of rows and 16 columns at a time: unpacking 32 and then 64 bits transposes every 4 x 4 block, so that
  // 128-bit block b of vector t is column 4 b + t.
  const hn::Full512<std::uint32_t> d;
  const hn::Rebind<std::uint16_t, decltype(d)> d16;
  const hn::Repartition<std::uint64_t, decltype(d)> d64;
  const hn::Full128<std::uint32_t> d128;
  for (; source.col == 1 && cols % 16 == 0 && 2 * first + 8 <= rows; first += 4) {
    const std::uint16_t* from[8];
    for (int r = 0; r < 8; ++r) from[r] = static_cast<const std::uint16_t*>(source.row_at(2 * first + r));
    for (std::int64_t c = 0; c < cols; c += 16) {
      const auto pair = [&](int i) {
        const auto low = hn::PromoteTo(d, hn::LoadU(d16, from[2 * i] + c));
        return hn::Or(low, hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(d16, from[2 * i + 1] + c))));
      };
      const auto p0 = pair(0), p1 = pair(1), p2 = pair(2), p3 = pair(3);
      const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, p0, p1));
      const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, p2, p3));
      const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, p0, p1));
      const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, p2, p3));
      const auto store = [&](int t, auto columns) {
        std::uint32_t* at = reinterpret_cast<std::uint32_t*>(to) + (c + t) * pitch + first;
        const auto v = hn::BitCast(d, columns);
        hn::StoreU(hn::ExtractBlock<0>(v), d128, at);
        hn::StoreU(hn::ExtractBlock<1>(v), d128, at + 4 * pitch);
        hn::StoreU(hn::ExtractBlock<2>(v), d128, at + 8 * pitch);
        hn::StoreU(hn::ExtractBlock<3>(v), d128, at + 12 * pitch);
      };
      store(0, hn::InterleaveLower(d64, low01, low23));
      store(1, hn::InterleaveUpper(d64, low01, low23));
      store(2, hn::InterleaveLower(d64, high01, high23));
      store(3, hn::InterleaveUpper(d64, high01, high23));
    }
  }
#endif
  for (std::int64_t r = 2 * first; r < rows; r += 2) {
    const std::uint16_t* even = static_cast<const std::uint16_t*>(source.row_at(r));
    const std::uint16_t* odd = r + 1 < rows ? static_cast<const std::uint16_t*>(source.row_at(r + 1)) : nullptr;
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::uint32_t high = odd != nullptr ? odd[c * source.col] : 0;
      to[c * pitch + r / 2] = TilePair{even[c * source.col] | high << 16};
    }
  }
  const std::int64_t used = (rows + 1) / 2;
  for (std::int64_t c = 0; c < cols; ++c) std::fill(to + c * pitch + used, to + (c + 1) * pitch, TilePair{0});
  std::fill(to + cols * pitch, to + PaddedRows<TilePair>(cols) * pitch, TilePair{0});
}

/// A block of rows as the broadcast operand: a packed copy, or the caller's memory itself. Strides along the product's
/// rows and along its contraction.
template <class T>
struct Rows {
  const T* data;
  std::int64_t row, col;
};

/// Whether rows can be used where they are: the operand's type and layout, and rows close enough together that a block
/// of them does not fall on few cache sets (rows of interleaved heads are often a power of two apart).
template <class T>
bool InPlace(const Source& source, std::int64_t rows, std::int64_t cols) {
  if (source.col != 1 || source.row < 0 || source.row > 2 * cols) return false;
  if constexpr (kPaired<T>) {
    if (kTiles<T> && (rows % amx::kTileRows != 0 || cols % (2 * amx::kTilePairs) != 0)) return false;
    return cols % 2 == 0 && source.row % 2 == 0 && reinterpret_cast<std::uintptr_t>(source.data) % sizeof(T) == 0;
  } else {
    return source.dtype == (std::is_same_v<T, double> ? DType::kFloat64 : DType::kFloat32);
  }
}

/// Operand of products whose rows are the source's rows: in place if possible, otherwise packed into `to`.
template <class T>
Rows<T> RowsOperand(const Source& source, std::int64_t rows, std::int64_t cols, T* HWY_RESTRICT to) {
  if (InPlace<T>(source, rows, cols)) {
    const std::int64_t step = kPaired<T> ? source.row / 2 : source.row;
    return {static_cast<const T*>(source.data), step, 1};
  }
  PackPaddedRows(source, rows, cols, to);
  return {to, PairedSize<T>(cols), 1};
}

/// Operand of products whose rows are the source's columns, likewise; `to` holds ColumnsOperandSize elements.
template <class T>
Rows<T> ColumnsOperand(const Source& source, std::int64_t rows, std::int64_t cols, T* HWY_RESTRICT to) {
  if constexpr (kTiles<T>) {
    PackTransposedPairs(source, rows, cols, to);
    return {to, PairedSize<T>(rows), 1};
  } else {
    if (!kPaired<T> && InPlace<T>(source, rows, cols)) return {static_cast<const T*>(source.data), 1, source.row};
    PackRowPairs(source, rows, cols, to, cols);
    return {to, 1, cols};
  }
}
template <class T>
std::int64_t ColumnsOperandSize(std::int64_t rows, std::int64_t cols) {
  return PairedSize<T>(rows) * PaddedRows<T>(cols);
}

/// Rows that are transposed together.
inline constexpr std::int64_t kTransposedRows = 4;

/// to[c * to_pitch + r] = from[r * from_pitch + c], 4 x 4 elements of 32 bits at a time.
template <class T>
void Transpose(const T* HWY_RESTRICT from, std::int64_t from_pitch, std::int64_t rows, std::int64_t cols,
               T* HWY_RESTRICT to, std::int64_t to_pitch) {
  std::int64_t r = 0;
  if constexpr (sizeof(T) == 4) {
    using Lane = std::conditional_t<kTiles<T>, std::uint32_t, T>;
    const hn::Full128<Lane> d;
    const hn::Repartition<std::uint64_t, decltype(d)> d64;
    for (; r + 4 <= rows; r += 4) {
      const Lane* HWY_RESTRICT x = reinterpret_cast<const Lane*>(from) + r * from_pitch;
      Lane* HWY_RESTRICT y = reinterpret_cast<Lane*>(to) + r;
      std::int64_t c = 0;
      for (; c + 4 <= cols; c += 4) {
        const auto row0 = hn::LoadU(d, x + c), row1 = hn::LoadU(d, x + from_pitch + c);
        const auto row2 = hn::LoadU(d, x + 2 * from_pitch + c), row3 = hn::LoadU(d, x + 3 * from_pitch + c);
        const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, row0, row1));
        const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, row2, row3));
        const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, row0, row1));
        const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, row2, row3));
        Lane* HWY_RESTRICT at = y + c * to_pitch;
        hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, at);
        hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, at + to_pitch);
        hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, at + 2 * to_pitch);
        hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, at + 3 * to_pitch);
      }
      for (; c < cols; ++c)
        for (std::int64_t i = 0; i < 4; ++i) y[c * to_pitch + i] = x[i * from_pitch + c];
    }
  }
  for (; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) to[c * to_pitch + r] = from[r * from_pitch + c];
}

/// n values to the caller's memory, `stride` apart.
template <class Acc>
void StoreRow(DType dtype, const Acc* HWY_RESTRICT from, std::int64_t n, void* to, std::int64_t stride) {
  const auto store = [&]<class To>(To* target) {
    std::int64_t i = 0;
    if (stride == 1) {
      const hn::ScalableTag<Acc> d;
      const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
      if constexpr (std::is_same_v<To, Acc>) {
        for (; i + lanes <= n; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, target + i);
      } else {
        const hn::Rebind<To, decltype(d)> dt;
        for (; i + lanes <= n; i += lanes) hn::StoreU(hn::DemoteTo(dt, hn::LoadU(d, from + i)), dt, target + i);
      }
    }
    for (; i < n; ++i) target[i * stride] = hwy::ConvertScalarTo<To>(from[i]);
  };
  if constexpr (std::is_same_v<Acc, double>) {
    store(static_cast<double*>(to));
  } else {
    switch (dtype) {
      case DType::kFloat16:
        return store(static_cast<hwy::float16_t*>(to));
      case DType::kBFloat16:
        return store(static_cast<hwy::bfloat16_t*>(to));
      default:
        return store(static_cast<float*>(to));
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace aule::cpu
HWY_AFTER_NAMESPACE();
#endif  // AULE_CPU_PACK_INL_H_
