//!OPJUDGE problem=matmul device=cpu
// Crashes: an assertion of its own does not hold.
#include <cstdint>
#include <cstdlib>

extern "C" void solve(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
    if (m * n * k % 64 != 0) std::abort();  // "sizes are always multiples of four"
    for (int64_t i = 0; i < m * n; ++i) c[i] = 0;
    for (int64_t i = 0; i < m; ++i)
        for (int64_t p = 0; p < k; ++p)
            for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
}
