//!OPJUDGE problem=matmul device=cpu
// Honest: packed panels and a register block of 6 x 16, after the classic cache-blocked GEMM.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t lanes = 8;
typedef float Floats __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

constexpr int64_t block_m = 6;           // rows of the register block
constexpr int64_t block_n = 2 * lanes;   // columns of the register block
constexpr int64_t panel_k = 320;         // one strip of B (16 x panel_k) stays in L1
constexpr int64_t panel_m = 16 * block_m;  // one block of A (panel_m x panel_k) stays in L2

int64_t up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Strips of 16 columns, each stored k-major, padded with zeros.
void pack_b(const float* b, float* out, int64_t n, int64_t depth) {
    for (int64_t j = 0; j < n; j += block_n) {
        const int64_t width = std::min(block_n, n - j);
        for (int64_t p = 0; p < depth; ++p, out += block_n) {
            std::memcpy(out, b + p * n + j, width * sizeof(float));
            std::fill(out + width, out + block_n, 0.0f);
        }
    }
}

// Strips of 6 rows, each stored k-major, padded with zeros.
void pack_a(const float* a, float* out, int64_t rows, int64_t depth, int64_t stride) {
    for (int64_t i = 0; i < rows; i += block_m, out += block_m * depth) {
        const int64_t height = std::min(block_m, rows - i);
        for (int64_t r = 0; r < block_m; ++r)
            for (int64_t p = 0; p < depth; ++p)
                out[p * block_m + r] = r < height ? a[(i + r) * stride + p] : 0.0f;
    }
}

// acc[r] (+)= sum over p of a[p][r] * b[p][0..15]
inline void multiply(const float* __restrict a, const float* __restrict b, int64_t depth,
                     Floats (&low)[block_m], Floats (&high)[block_m]) {
    Floats l0{}, l1{}, l2{}, l3{}, l4{}, l5{}, h0{}, h1{}, h2{}, h3{}, h4{}, h5{};
    for (int64_t p = 0; p < depth; ++p, a += block_m, b += block_n) {
        const Floats left = *reinterpret_cast<const Floats*>(b);
        const Floats right = *reinterpret_cast<const Floats*>(b + lanes);
        l0 += a[0] * left, h0 += a[0] * right;
        l1 += a[1] * left, h1 += a[1] * right;
        l2 += a[2] * left, h2 += a[2] * right;
        l3 += a[3] * left, h3 += a[3] * right;
        l4 += a[4] * left, h4 += a[4] * right;
        l5 += a[5] * left, h5 += a[5] * right;
    }
    low[0] = l0, low[1] = l1, low[2] = l2, low[3] = l3, low[4] = l4, low[5] = l5;
    high[0] = h0, high[1] = h1, high[2] = h2, high[3] = h3, high[4] = h4, high[5] = h5;
}

inline void store(float* c, int64_t stride, int64_t height, int64_t width, bool first,
                  const Floats (&low)[block_m], const Floats (&high)[block_m]) {
    for (int64_t r = 0; r < height; ++r, c += stride) {
        if (width == block_n) {
            Floats* left = reinterpret_cast<Floats*>(c);
            Floats* right = reinterpret_cast<Floats*>(c + lanes);
            *left = first ? low[r] : *left + low[r];
            *right = first ? high[r] : *right + high[r];
            continue;
        }
        float row[block_n];
        std::memcpy(row, &low[r], sizeof low[r]);
        std::memcpy(row + lanes, &high[r], sizeof high[r]);
        for (int64_t j = 0; j < width; ++j) c[j] = first ? row[j] : c[j] + row[j];
    }
}

}  // namespace

extern "C" void solve(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k) {
    static std::vector<float> strips_a, strips_b;
    strips_a.resize(panel_m * panel_k);
    strips_b.resize(up(n, block_n) * panel_k);
    Floats low[block_m], high[block_m];
    for (int64_t p = 0; p < k; p += panel_k) {
        const int64_t depth = std::min(panel_k, k - p);
        pack_b(b + p * n, strips_b.data(), n, depth);
        for (int64_t i = 0; i < m; i += panel_m) {
            const int64_t rows = std::min(panel_m, m - i);
            pack_a(a + i * k + p, strips_a.data(), rows, depth, k);
            for (int64_t j = 0; j < n; j += block_n)
                for (int64_t r = 0; r < rows; r += block_m) {
                    multiply(strips_a.data() + r * depth, strips_b.data() + j * depth, depth, low, high);
                    store(c + (i + r) * n + j, n, std::min(block_m, rows - r),
                          std::min(block_n, n - j), p == 0, low, high);
                }
        }
    }
}
