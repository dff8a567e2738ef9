// Sums of the backward pass in registers: own rows x SLICE columns += tile^T (own x other) times rows of the other side.
// Thread (x, y) holds SUM_ROWS own rows, in groups of 4 neighbours, and SUM_COLUMNS columns, likewise.
// A long walk may be cut into several dispatches (push.first_step .. push.last_step): the sums then rest in workspace2.
const int SUM_THREADS_X = SLICE / SUM_COLUMNS, SUM_THREADS_Y = OWN / SUM_ROWS;
const int SUM_VECTORS = SUM_COLUMNS / 4, SUMS4 = SUM_ROWS * SUM_VECTORS;
const int TILE_PITCH = OWN / 4 + 1;

// [other row][own row / 4]; rows in the order 0, 4, 8 ... 1, 5, 9 ..., so that neighbouring threads, which hold rows at
// a distance of 4, store without bank conflicts.
shared vec4 pair_tile[OTHER * TILE_PITCH];
layout(std430, set = 0, binding = AULE_BINDING_WORKSPACE2) buffer Workspace2 { vec4 kept_sums[]; };

int sum_x() { return place_x(SUM_THREADS_X); }
int sum_y() { return place_y(SUM_THREADS_X); }
int sum_row(int a) { return tile.first_own + 4 * (a / 4 * SUM_THREADS_Y + sum_y()) + a % 4; }


void store_tile(vec4 pairs[PAIRS4]) {
  [[unroll]] for (int a = 0; a < SQUARE_ROWS; ++a) {
    [[unroll]] for (int j = 0; j < SCORE_COLUMNS; ++j) {
      int row = j % 4 * (OTHER / 4) + j / 4 * THREADS_X + thread_x();
      pair_tile[row * TILE_PITCH + a * THREADS_Y + thread_y()] = pairs[a * SCORE_COLUMNS + j];
    }
  }
}

int sum_first_column;  // of the workgroup's slice
int sum_column(int n) { return sum_first_column + 4 * (n * SUM_THREADS_X + sum_x()); }

void fetch_rows(int operand, int first_row, int slot) {
  bool inside = tile.first_other + OTHER <= OTHER_ROWS;
  [[unroll]] for (int n = 0; n < ROW_LOADS; ++n) {
    int e = thread_index() + n * THREADS, row = first_row + e / SLICE4;
    if (SUM_STAGE % THREADS != 0 && e >= SUM_STAGE) continue;
    row = tile.first_other + row % (OTHER / 4) * 4 + row / (OTHER / 4);
    if (!inside) row = min(row, OTHER_ROWS - 1);
    fetched[slot * FETCHES + n] = other_row4(operand, row, sum_first_column + 4 * (e % SLICE4));
  }
}

void store_rows(int buffer_index, int slot) {
  [[unroll]] for (int n = 0; n < ROW_LOADS; ++n) {
    int e = thread_index() + n * THREADS;
    if (SUM_STAGE % THREADS == 0 || e < SUM_STAGE) stage[buffer_index * STAGE + e] = to_float4(fetched[slot * FETCHES + n]);
  }
}

void next_tile();

void next_chunk();

void fetch_next(int what, int slot) {
  if (what == CHUNK_OF_SECOND) fetch_chunk(SECOND, slot * CHUNK, slot);
  if (what == ROWS_OF_FIRST) fetch_rows(FIRST, slot * CHUNK_ROWS, slot);
  if (what == ROWS_OF_SECOND) fetch_rows(SECOND, slot * CHUNK_ROWS, slot);
  if (what == NEXT_TILE && slot == 0) next_tile();
  if (what == NEXT_TILE && slot == 1) next_chunk();
}

void multiply_tile(int buffer_index, int first_row, inout vec4 sums[SUMS4]) {
  int from_tile = first_row * TILE_PITCH + sum_y(), from_stage = buffer_index * STAGE + sum_x();
  [[unroll]] for (int row = 0; row < CHUNK_ROWS; ++row) {
    vec4 x[SUM_ROWS / 4], y[SUM_VECTORS];
    [[unroll]] for (int a = 0; a < SUM_ROWS / 4; ++a)
      x[a] = pair_tile[from_tile + row * TILE_PITCH + a * SUM_THREADS_Y];
    [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n) y[n] = stage[from_stage + row * SLICE4 + n * SUM_THREADS_X];
    [[unroll]] for (int a = 0; a < SUM_ROWS; ++a) {
      [[unroll]] for (int n = 0; n < SUM_VECTORS; ++n)
        sums[a * SUM_VECTORS + n] = fma(vec4(x[a / 4][a % 4]), y[n], sums[a * SUM_VECTORS + n]);
    }
  }
}

// Adds the tile's products with the other side's rows, whose first AHEAD chunks have been fetched.
void add_tile(int operand, vec4 pairs[PAIRS4], int next, inout vec4 sums[SUMS4]) {
  if (AHEAD == 2 || BUFFERS == 1) barrier();
  store_tile(pairs);
  int buffer_index = 0;
  [[dont_unroll]] for (int row = 0; row < OTHER; row += AHEAD * CHUNK_ROWS) {
    [[unroll]] for (int slot = 0; slot < AHEAD; ++slot) {
      if (AHEAD == 2 && BUFFERS == 2) buffer_index = slot;
      if (BUFFERS == 1 && (row != 0 || slot != 0)) barrier();
      store_rows(buffer_index, slot);
      barrier();
      if (row + AHEAD * CHUNK_ROWS < OTHER) {
        fetch_rows(operand, row + (AHEAD + slot) * CHUNK_ROWS, slot);
      } else {
        fetch_next(next, slot);
      }
      multiply_tile(buffer_index, row + slot * CHUNK_ROWS, sums);
      if (AHEAD == 1) buffer_index = BUFFERS - 1 - buffer_index;
    }
  }
  if (AHEAD == 1) barrier();
}

// The sums of an earlier or for a later dispatch of the same tasks; `which` of the kernel's sums.
int kept_index(int which, int n, int kinds) {
  return params.workspace2_offset / 4 + ((int(gl_WorkGroupID.x) * kinds + which) * SUMS4 + n) * THREADS + thread_index();
}
void resume_sums(int which, int kinds, out vec4 sums[SUMS4]) {
  [[unroll]] for (int n = 0; n < SUMS4; ++n) sums[n] = push.first_step == 0u ? vec4(0.0) : kept_sums[kept_index(which, n, kinds)];
}
void keep_sums(int which, int kinds, vec4 sums[SUMS4]) {
  [[unroll]] for (int n = 0; n < SUMS4; ++n) kept_sums[kept_index(which, n, kinds)] = sums[n];
}
