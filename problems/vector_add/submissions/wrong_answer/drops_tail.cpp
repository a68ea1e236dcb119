//!OPJUDGE problem=vector_add device=cpu
// Bug: walks in steps of eight and forgets the last n % 8 elements.
#include <cstdint>

extern "C" void solve(const float* x, const float* y, float* z, int64_t n) {
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int64_t j = 0; j < 8; ++j) z[i + j] = x[i + j] + y[i + j];
}
