//!OPJUDGE problem=causal_attention device=cpu
// Bug: forgets to divide the scores by the square root of head_dim.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

extern "C" void solve(const float* q, const float* k, const float* v, float* o, int64_t batch, int64_t heads,
                      int64_t seq, int64_t head_dim) {
    const int64_t size = seq * head_dim;
    std::vector<float> weight(seq);
    for (int64_t h = 0; h < batch * heads; ++h, q += size, k += size, v += size, o += size)
        for (int64_t i = 0; i < seq; ++i) {
            float top = -INFINITY, total = 0;
            for (int64_t j = 0; j <= i; ++j) {
                float score = 0;
                for (int64_t d = 0; d < head_dim; ++d) score += q[i * head_dim + d] * k[j * head_dim + d];
                top = std::max(top, weight[j] = score);
            }
            for (int64_t j = 0; j <= i; ++j) total += weight[j] = std::exp(weight[j] - top);
            for (int64_t d = 0; d < head_dim; ++d) {
                float sum = 0;
                for (int64_t j = 0; j <= i; ++j) sum += weight[j] * v[j * head_dim + d];
                o[i * head_dim + d] = sum / total;
            }
        }
}
