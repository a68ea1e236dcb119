//!OPJUDGE problem=vector_add device=cpu
// Crashes: writes through a null pointer.
#include <cstdint>

extern "C" void solve(const float* x, const float* y, float* z, int64_t n) {
    float* volatile nowhere = nullptr;
    for (int64_t i = 0; i < n; ++i) nowhere[i] = z[i] = x[i] + y[i];
}
