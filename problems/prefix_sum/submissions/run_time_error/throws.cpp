//!OPJUDGE problem=prefix_sum device=cpu
// Crashes: an exception leaves solve, and nobody catches it.
#include <cstdint>
#include <vector>

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    std::vector<float> running(rows);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c) y[r * cols + c] = running.at(r + 1) += x[r * cols + c];
}
