//!OPJUDGE problem=prefix_sum device=cpu
// Honest: a scan inside each vector of eight; only one addition per vector waits for the one before.
#include <cstdint>

namespace {

typedef float Floats __attribute__((vector_size(32), may_alias));
typedef float Unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t Index __attribute__((vector_size(32)));
constexpr int64_t lanes = 8;

// Inclusive scan of eight lanes in three steps: add the value one, two, four lanes to the left.
// The first two stay within halves of four lanes, where a shuffle is cheapest.
inline Floats scan(Floats v) {
    const Floats zero = {};
    v += __builtin_shuffle(v, zero, Index{8, 0, 1, 2, 8, 4, 5, 6});
    v += __builtin_shuffle(v, zero, Index{8, 8, 0, 1, 8, 8, 4, 5});
    v += __builtin_shuffle(v, zero, Index{8, 8, 8, 8, 3, 3, 3, 3});
    return v;
}

}  // namespace

extern "C" void solve(const float* x, float* y, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
        Floats carry = {};
        int64_t c = 0;
        for (; c + lanes <= cols; c += lanes) {
            const Floats part = scan(*reinterpret_cast<const Unaligned*>(x + c));
            *reinterpret_cast<Unaligned*>(y + c) = carry + part;
            carry += __builtin_shuffle(part, Index{7, 7, 7, 7, 7, 7, 7, 7});
        }
        float running = carry[0];
        for (; c < cols; ++c) y[c] = running += x[c];
    }
}
