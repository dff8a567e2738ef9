// Tiles of attention_forward.glsl in fp16: a word of a tile holds two neighbouring steps of the contraction, so that one
// dot product does both. Products are exact and sums fp32; only probabilities are rounded (to nearest even, so without
// a bias), and queries stay unscaled so as not to be.
#ifdef DOT_PRODUCT
#extension GL_EXT_spirv_intrinsics : require
// OpFDot2MixAcc32VALVE of VK_VALVE_shader_mixed_float_dot_product.
spirv_instruction(extensions = ["SPV_VALVE_mixed_float_dot_product"], capabilities = [6912], id = 6916)
float dot2_instruction(f16vec2 x, f16vec2 y, float sum);
float dot2(uint x, uint y, float sum) { return dot2_instruction(unpackFloat2x16(x), unpackFloat2x16(y), sum); }
#else
float dot2(uint x, uint y, float sum) {
  vec2 a = unpackHalf2x16(x), b = unpackHalf2x16(y);
  return fma(a.y, b.y, fma(a.x, b.x, sum));
}
#endif

// Where the columns 4 d4 .. + 3 of a chunk keep row vector `vector`: a permutation that spreads stores over the banks.
int swizzle(int d4, int vector) { return vector ^ (CHUNK4 < 8 ? 0 : d4 / 4 * (8 / CHUNK4)); }

// A piece of a transposed tile: four columns of a row are two words, each in a row of the tile of its own, and with them
// those of the three rows below if a piece is a square.
void store_piece(int start, int pitch, int d4, int piece, uvec2 rows[FETCH_ROWS]) {
  if (FETCH_ROWS == 4) {
    int at = start + 2 * d4 * pitch + swizzle(d4, piece);
    [[unroll]] for (int e = 0; e < 2; ++e)
      tile[at + e * pitch] = uvec4(rows[0][e], rows[1 % FETCH_ROWS][e], rows[2 % FETCH_ROWS][e], rows[3 % FETCH_ROWS][e]);
  } else {
    int at = start + 2 * d4 * pitch + swizzle(d4, piece >> 2);
    [[unroll]] for (int e = 0; e < 2; ++e) tile[at + e * pitch][piece & 3] = rows[0][e];
  }
}
void store_queries(int start, int d4, int piece, int fetch) {
  uvec2 rows[FETCH_ROWS];
  [[unroll]] for (int r = 0; r < FETCH_ROWS; ++r) rows[r] = fetched_q[fetch + r];
  store_piece(start, Q_PITCH, d4, piece, rows);
}
void store_keys(int start, int d4, int piece, int fetch) {
  uvec2 rows[FETCH_ROWS];
  [[unroll]] for (int r = 0; r < FETCH_ROWS; ++r) rows[r] = fetched_k[fetch + r];
  store_piece(start, K_PITCH, d4, piece, rows);
}

void scale_scores() {
  [[unroll]] for (int i = 0; i < ROWS * KEYS; ++i) s[i] *= q_factor;
}

// Four columns of two neighbouring keys, a word for each column.
uvec4 values_of_tile(int fetch) {
  uvec2 first = fetched_v[2 * fetch], second = fetched_v[2 * fetch + 1];
  uvec2 low = (first & 0xffffu) | (second << 16), high = (first >> 16) | (second & 0xffff0000u);
  return uvec4(low.x, high.x, low.y, high.y);
}

uint probability_of_tile(int score) { return packFloat2x16(f16vec2(s[score], s[score + 1])); }

// s += q k^T over one chunk.
void multiply_qk(int place) {
  [[unroll]] for (int d2 = 0; d2 < CHUNK / 2; ++d2) {
    uvec4 queries[ROWS4], keys[KEYS4];
    [[unroll]] for (int m = 0; m < ROWS4; ++m) {
      queries[m] = tile[place + d2 * Q_PITCH + swizzle(d2 / 2, group * ROWS4 + m)];
    }
    [[unroll]] for (int n = 0; n < KEYS4; ++n) {
      keys[n] = tile[place + Q_CHUNK + d2 * K_PITCH + swizzle(d2 / 2, n * COLUMN_LANES + column_lane)];
    }
    [[unroll]] for (int m = 0; m < ROWS; ++m) {
      [[unroll]] for (int n = 0; n < KEYS; ++n) {
        s[m * KEYS + n] = dot2(queries[m / 4][m % 4], keys[n / 4][n % 4], s[m * KEYS + n]);
      }
    }
  }
}

// o += p v over one chunk, whose probabilities begin with key `first` of their tile.
void multiply_pv(int place, int first) {
  int p_index = first / 2 * P_PITCH + group * ROWS4, v_index = place + column_lane;
  [[unroll]] for (int key2 = 0; key2 < CHUNK_V / 2; ++key2) {
    uvec4 p[ROWS4], values[VECTORS];
    [[unroll]] for (int m = 0; m < ROWS4; ++m) p[m] = p_tile[p_index + key2 * P_PITCH + m];
    [[unroll]] for (int t = 0; t < VECTORS; ++t) values[t] = tile[v_index + key2 * HEAD_DIM_V4 + t * COLUMN_LANES];
    [[unroll]] for (int m = 0; m < ROWS; ++m) {
      [[unroll]] for (int t = 0; t < VECTORS; ++t) {
        int i = m * VECTORS + t;
        [[unroll]] for (int e = 0; e < 4; ++e) o[i][e] = dot2(p[m / 4][m % 4], values[t][e], o[i][e]);
      }
    }
  }
}
