// Tiles of attention_forward.glsl in fp32: a tile's row is one step of the contraction.

// Where the columns 4 d4 .. + 3 of a chunk keep row vector `vector`: a permutation that spreads stores over the banks.
int swizzle(int d4, int vector) { return vector ^ (CHUNK4 < 4 ? 0 : d4 / 2 * (8 / CHUNK4)); }

// A piece of a transposed tile: columns 4 d4 .. + 3 of a row go to four rows of the tile, and with them the columns of
// the three rows below if a piece is a square.
void store_piece(int start, int pitch, int d4, int piece, vec4 rows[FETCH_ROWS]) {
  if (FETCH_ROWS == 4) {
    int at = start + 4 * d4 * pitch + swizzle(d4, piece);
    [[unroll]] for (int e = 0; e < 4; ++e)
      tile[at + e * pitch] = vec4(rows[0][e], rows[1 % FETCH_ROWS][e], rows[2 % FETCH_ROWS][e], rows[3 % FETCH_ROWS][e]);
  } else {
    int at = start + 4 * d4 * pitch + swizzle(d4, piece >> 2);
    [[unroll]] for (int e = 0; e < 4; ++e) tile[at + e * pitch][piece & 3] = rows[0][e];
  }
}
void store_queries(int start, int d4, int piece, int fetch) {
  vec4 rows[FETCH_ROWS];
  [[unroll]] for (int r = 0; r < FETCH_ROWS; ++r) rows[r] = to_float4(fetched_q[fetch + r]) * q_factor;
  store_piece(start, Q_PITCH, d4, piece, rows);
}
void store_keys(int start, int d4, int piece, int fetch) {
  vec4 rows[FETCH_ROWS];
  [[unroll]] for (int r = 0; r < FETCH_ROWS; ++r) rows[r] = to_float4(fetched_k[fetch + r]);
  store_piece(start, K_PITCH, d4, piece, rows);
}
void scale_scores() {}  // the queries are scaled

vec4 values_of_tile(int fetch) { return to_float4(fetched_v[fetch]); }
float probability_of_tile(int score) { return s[score]; }

// s += q k^T over one chunk.
void multiply_qk(int place) {
  [[unroll]] for (int d = 0; d < CHUNK; ++d) {
    vec4 queries[ROWS4], keys[KEYS4];
    [[unroll]] for (int m = 0; m < ROWS4; ++m) {
      queries[m] = tile[place + d * Q_PITCH + swizzle(d / 4, group * ROWS4 + m)];
    }
    [[unroll]] for (int n = 0; n < KEYS4; ++n) {
      keys[n] = tile[place + Q_CHUNK + d * K_PITCH + swizzle(d / 4, n * COLUMN_LANES + column_lane)];
    }
    [[unroll]] for (int m = 0; m < ROWS; ++m) {
      [[unroll]] for (int n = 0; n < KEYS; ++n) {
        s[m * KEYS + n] = fma(queries[m / 4][m % 4], keys[n / 4][n % 4], s[m * KEYS + n]);
      }
    }
  }
}

// o += p v over one chunk, whose probabilities begin at row `p_row` of their tile.
void multiply_pv(int place, int p_row) {
  int p_index = p_row * P_PITCH + group * ROWS4, v_index = place + column_lane;
  [[unroll]] for (int key = 0; key < CHUNK_V; ++key) {
    vec4 p[ROWS4];
    [[unroll]] for (int m = 0; m < ROWS4; ++m) p[m] = p_tile[p_index + key * P_PITCH + m];
    vec4 values[VECTORS];
    [[unroll]] for (int t = 0; t < VECTORS; ++t) values[t] = tile[v_index + key * HEAD_DIM_V4 + t * COLUMN_LANES];
    [[unroll]] for (int m = 0; m < ROWS; ++m) {
      [[unroll]] for (int t = 0; t < VECTORS; ++t) {
        o[m * VECTORS + t] = fma(vec4(p[m / 4][m % 4]), values[t], o[m * VECTORS + t]);
      }
    }
  }
}
