// Which (row, column) of a matrix element i of lane l is, for lane maps in which every bit of row and column is one bit
// of the lane or of the element: those of NVIDIA (16x16x16) and lavapipe (8x8x8). Constants 24..29 say what lane bits
// 0..5 add, 30..33 what element bits 0..3 add: row | column << 8.
layout(constant_id = 24) const int LANE_BIT_0 = 0x200;
layout(constant_id = 25) const int LANE_BIT_1 = 0x400;
layout(constant_id = 26) const int LANE_BIT_2 = 1;
layout(constant_id = 27) const int LANE_BIT_3 = 2;
layout(constant_id = 28) const int LANE_BIT_4 = 4;
layout(constant_id = 29) const int LANE_BIT_5 = 0;
layout(constant_id = 30) const int ELEMENT_BIT_0 = 0x100;
layout(constant_id = 31) const int ELEMENT_BIT_1 = 0x800;
layout(constant_id = 32) const int ELEMENT_BIT_2 = 8;
layout(constant_id = 33) const int ELEMENT_BIT_3 = 0;

int element_place(int element) {
  return (element & 1) * ELEMENT_BIT_0 + (element >> 1 & 1) * ELEMENT_BIT_1 + (element >> 2 & 1) * ELEMENT_BIT_2 +
         (element >> 3 & 1) * ELEMENT_BIT_3;
}
int element_row(int element) { return element_place(element) & 0xff; }
int element_column(int element) { return element_place(element) >> 8; }

int lane_place(int lane) {
  return (lane & 1) * LANE_BIT_0 + (lane >> 1 & 1) * LANE_BIT_1 + (lane >> 2 & 1) * LANE_BIT_2 +
         (lane >> 3 & 1) * LANE_BIT_3 + (lane >> 4 & 1) * LANE_BIT_4 + (lane >> 5 & 1) * LANE_BIT_5;
}

// A lane's rows of a matrix are numbered by the element bits that change the row.
const int ROW_BIT_0 = (ELEMENT_BIT_0 & 0xff) != 0 ? 1 : 0;
const int ROW_BIT_1 = (ELEMENT_BIT_1 & 0xff) != 0 ? 1 : 0;
const int ROW_BIT_2 = (ELEMENT_BIT_2 & 0xff) != 0 ? 1 : 0;
const int ROW_BIT_3 = (ELEMENT_BIT_3 & 0xff) != 0 ? 1 : 0;
const int ROW_SLOTS = 1 << (ROW_BIT_0 + ROW_BIT_1 + ROW_BIT_2 + ROW_BIT_3);
int row_slot(int element) {
  return (element & ROW_BIT_0) + ((element >> 1 & ROW_BIT_1) << ROW_BIT_0) +
         ((element >> 2 & ROW_BIT_2) << (ROW_BIT_0 + ROW_BIT_1)) +
         ((element >> 3 & ROW_BIT_3) << (ROW_BIT_0 + ROW_BIT_1 + ROW_BIT_2));
}

// Reductions over the lanes that share a row: those whose bits change the column.
float row_max(float x) {
  if (LANE_BIT_0 > 0xff) x = max(x, subgroupShuffleXor(x, 1));
  if (LANE_BIT_1 > 0xff) x = max(x, subgroupShuffleXor(x, 2));
  if (LANE_BIT_2 > 0xff) x = max(x, subgroupShuffleXor(x, 4));
  if (LANE_BIT_3 > 0xff) x = max(x, subgroupShuffleXor(x, 8));
  if (LANE_BIT_4 > 0xff) x = max(x, subgroupShuffleXor(x, 16));
  if (LANE_BIT_5 > 0xff) x = max(x, subgroupShuffleXor(x, 32));
  return x;
}
float row_sum(float x) {
  if (LANE_BIT_0 > 0xff) x += subgroupShuffleXor(x, 1);
  if (LANE_BIT_1 > 0xff) x += subgroupShuffleXor(x, 2);
  if (LANE_BIT_2 > 0xff) x += subgroupShuffleXor(x, 4);
  if (LANE_BIT_3 > 0xff) x += subgroupShuffleXor(x, 8);
  if (LANE_BIT_4 > 0xff) x += subgroupShuffleXor(x, 16);
  if (LANE_BIT_5 > 0xff) x += subgroupShuffleXor(x, 32);
  return x;
}
