//!OPJUDGE problem=row_softmax device=cpu
// Honest: three passes over a row that stays in L1, with a vectorised exp (AVX2 and FMA).
#include <algorithm>
#include <cmath>
#include <cstdint>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace {

// exp(v) for -87 <= v <= 0: v = k ln 2 + r with |r| <= ln(2)/2, a polynomial in r, then times 2^k.
inline __m256 exp_negative(__m256 v) {
    v = _mm256_max_ps(v, _mm256_set1_ps(-87.0f));
    const __m256 k = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.44269504088896341f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(k, _mm256_set1_ps(0.693359375f), v);
    r = _mm256_fnmadd_ps(k, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 720);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    const __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(k), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
}

inline float sum(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

inline float maximum(__m256 v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

void softmax_row(const float* x, float* y, int64_t cols) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;
    int64_t c = 0;
    for (; c + 32 <= cols; c += 32) {
        m0 = _mm256_max_ps(m0, _mm256_loadu_ps(x + c));
        m1 = _mm256_max_ps(m1, _mm256_loadu_ps(x + c + 8));
        m2 = _mm256_max_ps(m2, _mm256_loadu_ps(x + c + 16));
        m3 = _mm256_max_ps(m3, _mm256_loadu_ps(x + c + 24));
    }
    float top = maximum(_mm256_max_ps(_mm256_max_ps(m0, m1), _mm256_max_ps(m2, m3)));
    for (; c < cols; ++c) top = std::max(top, x[c]);

    const __m256 shift = _mm256_set1_ps(top);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    for (c = 0; c + 16 <= cols; c += 16) {
        const __m256 e0 = exp_negative(_mm256_sub_ps(_mm256_loadu_ps(x + c), shift));
        const __m256 e1 = exp_negative(_mm256_sub_ps(_mm256_loadu_ps(x + c + 8), shift));
        _mm256_storeu_ps(y + c, e0);
        _mm256_storeu_ps(y + c + 8, e1);
        s0 = _mm256_add_ps(s0, e0);
        s1 = _mm256_add_ps(s1, e1);
    }
    float total = sum(_mm256_add_ps(s0, s1));
    for (; c < cols; ++c) total += y[c] = std::exp(x[c] - top);

    const float inverse = 1.0f / total;
    for (c = 0; c < cols; ++c) y[c] *= inverse;
}

}  // namespace
#else
namespace {

void softmax_row(const float* x, float* y, int64_t cols) {
    const float top = *std::max_element(x, x + cols);
    float total = 0;
    for (int64_t c = 0; c < cols; ++c) total += y[c] = std::exp(x[c] - top);
    const float inverse = 1.0f / total;
    for (int64_t c = 0; c < cols; ++c) y[c] *= inverse;
}

}  // namespace
#endif

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r) softmax_row(x + r * cols, y + r * cols, cols);
}
