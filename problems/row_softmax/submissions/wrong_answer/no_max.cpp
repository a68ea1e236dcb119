//!OPJUDGE problem=row_softmax device=cpu
// Bug: does not subtract the maximum, so exp overflows and the row becomes inf / inf.
#include <cmath>
#include <cstdint>

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
        float total = 0;
        for (int64_t c = 0; c < cols; ++c) total += y[c] = std::exp(x[c]);
        for (int64_t c = 0; c < cols; ++c) y[c] /= total;
    }
}
