//!OPJUDGE problem=rms_norm device=cpu
// Honest: one pass for the sum of squares, one for the output, while the row is in L1.
#include <cmath>
#include <cstdint>

// Vectors of the compiler: they become AVX, SSE or NEON, whatever -march=native says.
typedef float Floats __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int64_t lanes = sizeof(Floats) / sizeof(float);

static float sum_of_squares(const float* x, int64_t cols) {
    Floats part[4] = {};
    int64_t c = 0;
    for (; c + 4 * lanes <= cols; c += 4 * lanes)
        for (int64_t p = 0; p < 4; ++p) {
            const Floats v = *reinterpret_cast<const Floats*>(x + c + p * lanes);
            part[p] += v * v;
        }
    const Floats all = (part[0] + part[1]) + (part[2] + part[3]);
    float total = 0;
    for (int64_t lane = 0; lane < lanes; ++lane) total += all[lane];
    for (; c < cols; ++c) total += x[c] * x[c];
    return total;
}

extern "C" void solve(const float* x, const float* w, float* y, int64_t rows, int64_t cols, double eps) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
        const double mean = static_cast<double>(sum_of_squares(x, cols)) / static_cast<double>(cols);
        const float scale = static_cast<float>(1.0 / std::sqrt(mean + eps));
        int64_t c = 0;
        for (; c + lanes <= cols; c += lanes)
            *reinterpret_cast<Floats*>(y + c) = *reinterpret_cast<const Floats*>(x + c) * scale *
                                                *reinterpret_cast<const Floats*>(w + c);
        for (; c < cols; ++c) y[c] = x[c] * scale * w[c];
    }
}
