// Places of threads in a grid. Neighbouring threads fill squares of LANES_X x 32 / LANES_X, so that they read few
// different rows and columns at a time; LANES_X 0: row by row.
int place_x(int width) {
  int square = thread_index() / 32, lane = thread_index() % 32;
  return LANES_X == 0 || LANES_X >= width ? thread_index() % width
                                          : square % (width / LANES_X) * LANES_X + lane % LANES_X;
}
int place_y(int width) {
  int square = thread_index() / 32, lane = thread_index() % 32;
  return LANES_X == 0 || LANES_X >= width ? thread_index() / width
                                          : square / (width / LANES_X) * (32 / LANES_X) + lane / LANES_X;
}
