//!OPJUDGE problem=vector_add device=cpu
// Does not compile: assigns a string to a float.
#include <cstdint>

extern "C" void solve(const float* x, const float* y, float* z, int64_t n) {
    for (int64_t i = 0; i < n; ++i) z[i] = "x[i] + y[i]";
}
