// What the shared memory of the matrix kernel holds, in pieces of 16 bytes: one source for the shader, where TILE_M and
// its like are specialization constants, and for the planner, where these lines are members of a structure
// (plan_matrix.cpp). NVIDIA's driver makes a pipeline that needs more than there is and loses the device when it runs,
// so the planner must know to the byte.
//
// In scope before: SUBGROUP_SIZE, HEAD_DIM_QK, HEAD_DIM_V, BLOCK_Q, BLOCK_K, TILE_M, TILE_N, ROW_TILES, KEY_STEP,
// PIPELINE, MAP_KIND. No include guard: included once a scope.
#define PIPELINE_DOUBLE 0
#define PIPELINE_AHEAD_SINGLE 1
#define PIPELINE_AHEAD_DOUBLE 2
#define PIPELINE_SPLIT 3
const int STAGES = PIPELINE == PIPELINE_AHEAD_SINGLE || PIPELINE == PIPELINE_SPLIT ? 1 : 2;

const int DEPTH_TILES = HEAD_DIM_QK / TILE_N;
const int VALUE_TILES = HEAD_DIM_V / TILE_N;
const int KEY_TILES = KEY_STEP / TILE_N;
const int SUBGROUPS = BLOCK_Q / (TILE_M * ROW_TILES);
const int INVOCATIONS = SUBGROUPS * int(SUBGROUP_SIZE);

// A row has one piece more than it needs: without, rows begin in the same bank.
#ifndef PIECE
#define PIECE 8  // elements of 16 bits
#endif
const int K_PITCH = HEAD_DIM_QK / PIECE + 1;
const int V_PITCH = HEAD_DIM_V / PIECE + 1;
const int K_STAGE = BLOCK_K * K_PITCH;
const int V_STAGE = BLOCK_K * V_PITCH;
const int V_BASE = STAGES * K_STAGE;
const int BLOCKS_END = V_BASE + STAGES * V_STAGE;
const int STAGED = DEPTH_TILES < 4 ? DEPTH_TILES : 4;  // depth tiles of Q that go through shared memory together
const int STAGING_PITCH = STAGED * TILE_N / PIECE + 1;
const int STAGING_END = SUBGROUPS * TILE_M * STAGING_PITCH;  // one row tile of each subgroup
const int OUT_TILES = VALUE_TILES < 2 ? VALUE_TILES : 2;     // column tiles of O that are written together
const int OUT_PITCH = OUT_TILES * TILE_N / 4 + 1;            // floats
const int OUT_END = SUBGROUPS * TILE_M * OUT_PITCH;
const int LOADS_END = BLOCKS_END > STAGING_END ? BLOCKS_END : STAGING_END;
const int ROWS_END = LOADS_END > OUT_END ? LOADS_END : OUT_END;  // O goes out over all of it
// Unknown maps: scores, probabilities and row factors of one row tile of each subgroup.
const int SCORE_PITCH = KEY_STEP / 4 + 1;
const int WEIGHT_PITCH = KEY_STEP / PIECE + 1;
const int FACTOR_PITCH = TILE_N / 4 + 1;
const int WEIGHTS_AT = TILE_M * SCORE_PITCH;
const int FACTORS_AT = WEIGHTS_AT + TILE_M * WEIGHT_PITCH;
const int SCRATCH = FACTORS_AT + TILE_M * FACTOR_PITCH;
const int GROWTH_AT = ROWS_END + (MAP_KIND == 0 ? SUBGROUPS * SCRATCH : 0);
// One array for all, of a multiple of 4 bytes an invocation: NVIDIA's driver puts spilled registers beside it, up to
// what lets two workgroups share a multiprocessor, but rounds an invocation's share of the rest up to 4 bytes and is
// then past it.
const int POOL_UNIT = (INVOCATIONS + 3) / 4;
const int POOL_PIECES = (GROWTH_AT + POOL_UNIT) / POOL_UNIT * POOL_UNIT;
