//!OPJUDGE problem=prefix_sum device=cpu
// Cheat: a detached thread does the work after solve has returned.
#include <cstdint>
#include <thread>

static void work(const float* x, float* y, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
        float running = 0;
        for (int64_t c = 0; c < cols; ++c) y[c] = running += x[c];
    }
}

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    std::thread(work, x, y, rows, cols).detach();
}
