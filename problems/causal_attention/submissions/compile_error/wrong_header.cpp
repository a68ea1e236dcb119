//!OPJUDGE problem=causal_attention device=cpu
// Does not compile: includes a header that does not exist.
#include <attention.h>
#include <cstdint>

extern "C" void solve(const float* q, const float* k, const float* v, float* o, int64_t batch, int64_t heads,
                      int64_t seq, int64_t head_dim) {
    attention::forward(q, k, v, o, batch * heads, seq, head_dim);
}
