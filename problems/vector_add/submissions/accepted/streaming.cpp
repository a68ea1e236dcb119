//!OPJUDGE problem=vector_add device=cpu
// Honest: AVX with non-temporal stores, so that no line of z is read before it is overwritten.
#include <cstdint>

#ifdef __AVX__
#include <immintrin.h>
#endif

extern "C" void solve(const float* x, const float* y, float* z, int64_t n) {
    int64_t i = 0;
#ifdef __AVX__
    constexpr int64_t small = 1 << 16;  // fits the cache: ordinary stores are better there
    if (n >= small) {
        for (; reinterpret_cast<uintptr_t>(z + i) % 64 != 0; ++i) z[i] = x[i] + y[i];
        for (; i + 32 <= n; i += 32) {
            _mm_prefetch(reinterpret_cast<const char*>(x + i + 256), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(x + i + 272), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(y + i + 256), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(y + i + 272), _MM_HINT_T0);
            for (int64_t j = i; j < i + 32; j += 8)
                _mm256_stream_ps(z + j, _mm256_add_ps(_mm256_loadu_ps(x + j), _mm256_loadu_ps(y + j)));
        }
        _mm_sfence();
    }
#endif
    for (; i < n; ++i) z[i] = x[i] + y[i];
}
