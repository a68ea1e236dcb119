//!OPJUDGE problem=rms_norm device=cpu
// Bug: subtracts the mean first, which is layer normalisation.
#include <cmath>
#include <cstdint>

extern "C" void solve(const float* x, const float* w, float* y, int64_t rows, int64_t cols, double eps) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
        double mean = 0, square = 0;
        for (int64_t c = 0; c < cols; ++c) mean += x[c];
        mean /= cols;
        for (int64_t c = 0; c < cols; ++c) square += (x[c] - mean) * (x[c] - mean);
        const double scale = 1 / std::sqrt(square / cols + eps);
        for (int64_t c = 0; c < cols; ++c) y[c] = (x[c] - mean) * scale * w[c];
    }
}
