//!OPJUDGE problem=prefix_sum device=cpu
// Honest: one running float32 sum per row, eight rows abreast to hide the latency of the addition.
#include <cstdint>

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    constexpr int64_t abreast = 8;
    int64_t r = 0;
    for (; r + abreast <= rows; r += abreast) {
        float running[abreast] = {};
        for (int64_t c = 0; c < cols; ++c)
#pragma GCC unroll 8
            for (int64_t k = 0; k < abreast; ++k)
                y[(r + k) * cols + c] = running[k] += x[(r + k) * cols + c];
    }
    for (; r < rows; ++r) {
        float running = 0;
        for (int64_t c = 0; c < cols; ++c) y[r * cols + c] = running += x[r * cols + c];
    }
}
