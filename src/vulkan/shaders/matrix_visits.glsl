// Which blocks of keys the workgroup visits: [first, last) of them, of which in [plain_first, plain_last) neither the
// band nor the end of the sequence hides anything. The includer defines NO_PLAIN_BLOCKS: whether none are to be told
// apart.
struct Visits {
  int first, plain_first, plain_last, last;
};

Visits plan_visits() {
  int last_query = min(first_query + BLOCK_Q, params.seq_q) - 1;
  int low = 0, high = params.seq_k - 1;
  int plain_low = 0, plain_high = params.seq_k;  // keys that every query sees: [plain_low, plain_high)
  if (HAS_BAND) {
    low = max(low, first_query + params.band_lower);
    high = min(high, last_query + params.band_upper);
    plain_low = max(plain_low, last_query + params.band_lower);
    plain_high = min(plain_high, first_query + params.band_upper + 1);
  }
  Visits v;
  v.first = low / BLOCK_K;
  v.last = high < low ? v.first : high / BLOCK_K + 1;
  v.plain_first = clamp((plain_low + BLOCK_K - 1) / BLOCK_K, v.first, v.last);
  v.plain_last = clamp(max(plain_high, 0) / BLOCK_K, v.plain_first, v.last);
  if (NO_PLAIN_BLOCKS) v.plain_first = v.plain_last = v.last;
  return v;
}

// The rest of the visits: what lies before and behind the plain blocks.
int block_of_general_visit(Visits v, int visit) {
  int before = v.plain_first - v.first;
  return visit < before ? v.first + visit : v.plain_last + visit - before;
}
