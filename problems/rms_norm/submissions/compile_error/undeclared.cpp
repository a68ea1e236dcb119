//!OPJUDGE problem=rms_norm device=cpu
// Does not compile: the variable `scale` is not declared.
#include <cstdint>

extern "C" void solve(const float* x, const float* w, float* y, int64_t rows, int64_t cols, double eps) {
    for (int64_t i = 0; i < rows * cols; ++i) y[i] = x[i] * scale * w[i % cols];
}
