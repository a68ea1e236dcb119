//!OPJUDGE problem=prefix_sum device=cpu
// Bug: works in blocks of 32 and forgets to carry the sum into the next block.
#include <cstdint>

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols)
        for (int64_t start = 0; start < cols; start += 32) {
            float running = 0;
            for (int64_t c = start; c < start + 32 && c < cols; ++c) y[c] = running += x[c];
        }
}
