// Prints the lane maps of src/hip/kernels/lane_map.h as lines "layout matrix lane element row column", for
// test_lane_maps.py. Compiled for the host.
#include <cstdio>

#include "hip/kernels/lane_map.h"

namespace {

using aule::hip::MatrixLayout;

void print(const char* name, const MatrixLayout& layout) {
  for (int lane = 0; lane < layout.wave; ++lane) {
    for (int r = 0; r < layout.accumulators; ++r) {
      std::printf("%s D %d %d %d %d\n", name, lane, r, layout.accumulator_row(lane, r),
                  layout.accumulator_column(lane));
    }
    for (int e = 0; e < layout.operand_elements; ++e) {
      const int line = layout.operand_line(lane), depth = layout.operand_depth(lane, e);
      std::printf("%s A %d %d %d %d\n", name, lane, e, line, depth);
      std::printf("%s B %d %d %d %d\n", name, lane, e, depth, line);
    }
  }
}

template <class Product, int kCount>
void print_product(const char* name) {
  for (int group = 0; group < Product::kGroups; ++group) {
    for (int element = 0; element < kCount / Product::kGroups; ++element) {
      const int index = Product::held(group, element);
      std::printf("%s P %d %d %d %d\n", name, group, element, index, Product::stored_row(index));
    }
  }
}

}  // namespace

int main() {
  using namespace aule::hip;
  print("mfma_32x32x8", kMfma32x32x8);
  print("mfma_16x16x16", kMfma16x16x16);
  print("mfma_16x16x4_f32", kMfma16x16x4Float);
  print("wmma_rdna3", kWmmaRdna3);
  print("wmma_rdna4", kWmmaRdna4);
  print_product<Product<32, 16, 2, 4, 8>, 128>("mfma_32x32x8");
  print_product<Product<16, 4, 4, 4, 8>, 128>("mfma_16x16x16");
  print_product<Product<16, 4, 4, 4, 4>, 128>("mfma_16x16x4_f32");
  print_product<Product<16, 8, 2, 1, 8>, 128>("wmma_rdna3");
  print_product<Product<16, 8, 2, 8, 8>, 128>("wmma_rdna4");
}
