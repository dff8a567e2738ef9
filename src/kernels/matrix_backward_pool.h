// What the shared memory of the matrix units' backward kernels holds, in pieces of 16 bytes: one source for shader and
// planner, as matrix_pool.h is for the forward kernel.
//
// In scope before: SUBGROUP_SIZE, HEAD_DIM_QK, HEAD_DIM_V, OWN, OTHER (rows of the two sides' blocks), OWNS_KEY_ROWS,
// TILE_M, TILE_N, ROW_TILES. No include guard: included once a scope.
const int DEPTH_TILES = HEAD_DIM_QK / TILE_N;
const int VALUE_TILES = HEAD_DIM_V / TILE_N;
const int OTHER_TILES = OTHER / TILE_N;
const int SUBGROUPS = OWN / (TILE_M * ROW_TILES);
const int INVOCATIONS = SUBGROUPS * int(SUBGROUP_SIZE);

// Two stages of the other side's blocks. A row has one piece more than it needs: without, rows begin in the same bank.
#ifndef PIECE
#define PIECE 8  // elements of 16 bits
#endif
const int FIRST_PITCH = HEAD_DIM_QK / PIECE + 1;
const int SECOND_PITCH = HEAD_DIM_V / PIECE + 1;
const int FIRST_STAGE = OTHER * FIRST_PITCH;
const int SECOND_STAGE = OTHER * SECOND_PITCH;
const int SECOND_BASE = 2 * FIRST_STAGE;
// lse, delta and factor of a block of queries.
const int NUMBERS_BASE = SECOND_BASE + 2 * SECOND_STAGE;
const int NUMBERS_PITCH = (OTHER + 3) / 4;
const int NUMBERS_STAGE = OWNS_KEY_ROWS != 0 ? 3 * NUMBERS_PITCH : 0;
const int BLOCKS_END = NUMBERS_BASE + 2 * NUMBERS_STAGE;
// Operands of the own side on their way into registers, sums on theirs to memory: a few column tiles at a time.
const int LONGER_SIDE = DEPTH_TILES > VALUE_TILES ? DEPTH_TILES : VALUE_TILES;
const int STAGED = LONGER_SIDE < 4 ? LONGER_SIDE : 4;
const int STAGING_PITCH = STAGED * TILE_N / PIECE + 1;
const int STAGING_END = SUBGROUPS * TILE_M * STAGING_PITCH;
const int OUT_TILES = LONGER_SIDE < 2 ? LONGER_SIDE : 2;
const int OUT_PITCH = OUT_TILES * TILE_N / 4 + 1;  // floats
const int OUT_END = SUBGROUPS * TILE_M * OUT_PITCH;
const int LOADS_END = BLOCKS_END > STAGING_END ? BLOCKS_END : STAGING_END;
const int ROWS_END = LOADS_END > OUT_END ? LOADS_END : OUT_END;
const int POOL_UNIT = (INVOCATIONS + 3) / 4;  // see matrix_pool.h
const int POOL_PIECES = (ROWS_END + POOL_UNIT - 1) / POOL_UNIT * POOL_UNIT;
