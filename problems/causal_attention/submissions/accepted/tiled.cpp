//!OPJUDGE problem=causal_attention device=cpu
// Honest: six queries at a time against transposed keys; their scores never leave the cache, and
// keys after the last query of the group are never touched.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t lanes = 8;
constexpr int64_t group = 6;          // queries handled together
constexpr int64_t strip = 2 * lanes;  // keys, or columns of the output, handled together
typedef float Floats __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(lanes * 4)));

int64_t up(int64_t value) { return (value + strip - 1) / strip * strip; }

Floats load(const float* p) { return *reinterpret_cast<const Floats*>(p); }
void store(float* p, Floats v) { *reinterpret_cast<Floats*>(p) = v; }

// exp(v) for v <= 0, as 2^k times a polynomial in the rest; below -87 it is (nearly) zero.
inline Floats exp_negative(Floats v) {
    const Floats zero = {}, lowest = zero - 87.0f;
    v = v > lowest ? v : lowest;
    const Floats magic = zero + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const Floats shifted = v * 1.44269504088896341f + magic;
    const Floats k = shifted - magic;
    const Floats r = (v - k * 0.693359375f) + k * 2.12194440e-4f;
    Floats p = r * (1.0f / 720) + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (Floats)((Ints)p + (((Ints)shifted - (Ints)magic) << 23));
}

// out[r][0..15] = sum over p of a[p * group + r] * b[p * pitch + 0..15]
inline void multiply(const float* __restrict a, const float* __restrict b, int64_t pitch,
                     int64_t depth, float* out, int64_t out_pitch) {
    Floats l0{}, l1{}, l2{}, l3{}, l4{}, l5{}, h0{}, h1{}, h2{}, h3{}, h4{}, h5{};
    for (int64_t p = 0; p < depth; ++p, a += group, b += pitch) {
        const Floats left = load(b), right = load(b + lanes);
        l0 += a[0] * left, h0 += a[0] * right;
        l1 += a[1] * left, h1 += a[1] * right;
        l2 += a[2] * left, h2 += a[2] * right;
        l3 += a[3] * left, h3 += a[3] * right;
        l4 += a[4] * left, h4 += a[4] * right;
        l5 += a[5] * left, h5 += a[5] * right;
    }
    const Floats low[group] = {l0, l1, l2, l3, l4, l5}, high[group] = {h0, h1, h2, h3, h4, h5};
    for (int64_t r = 0; r < group; ++r, out += out_pitch) store(out, low[r]), store(out + lanes, high[r]);
}

struct Head {
    int64_t seq, dim, wide_seq, wide_dim;
    std::vector<float> keys;     // [dim][wide_seq], transposed, padded with zeros
    std::vector<float> values;   // [seq + group][wide_dim], padded with zeros
    std::vector<float> queries;  // [dim][group], scaled
    std::vector<float> scores;   // [group][wide_seq]
    std::vector<float> weights;  // [wide_seq][group], transposed scores
    std::vector<float> result;   // [group][wide_dim]

    Head(int64_t seq, int64_t dim)
        : seq(seq), dim(dim), wide_seq(up(seq)), wide_dim(up(dim)), keys(dim * wide_seq),
          values((seq + group) * wide_dim), queries(dim * group), scores(group * wide_seq),
          weights((wide_seq + group) * group), result(group * wide_dim) {}

    void read(const float* k, const float* v) {
        for (int64_t j = 0; j < seq; j += lanes)  // in small squares, so that lines are used whole
            for (int64_t d = 0; d < dim; ++d)
                for (int64_t i = j; i < std::min(j + lanes, seq); ++i) keys[d * wide_seq + i] = k[i * dim + d];
        for (int64_t j = 0; j < seq; ++j) std::memcpy(&values[j * wide_dim], v + j * dim, dim * sizeof(float));
    }

    // Softmax of one query over the keys 0..last; leaves the sum for the caller to divide by.
    float softmax(float* score, int64_t last) const {
        const int64_t count = last + 1, whole = up(count);
        for (int64_t j = count; j < whole; ++j) score[j] = -INFINITY;
        Floats top = load(score);
        for (int64_t j = lanes; j < whole; j += lanes) {
            const Floats s = load(score + j);
            top = s > top ? s : top;
        }
        float most = top[0];
        for (int64_t lane = 1; lane < lanes; ++lane) most = std::max(most, top[lane]);
        Floats sums[2] = {};
        for (int64_t j = 0; j < whole; j += strip)
            for (int64_t half = 0; half < 2; ++half) {
                const Floats e = exp_negative(load(score + j + half * lanes) - most);
                store(score + j + half * lanes, e);
                sums[half] += e;
            }
        const Floats sum = sums[0] + sums[1];
        float total = 0;
        for (int64_t lane = 0; lane < lanes; ++lane) total += sum[lane];
        return total;  // the padding adds less than 1e-36
    }

    void attend(const float* q, float* o, int64_t first) {
        const int64_t rows = std::min(group, seq - first), depth = first + rows;
        const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
        for (int64_t d = 0; d < dim; ++d)
            for (int64_t r = 0; r < group; ++r) queries[d * group + r] = r < rows ? q[r * dim + d] * scale : 0.0f;
        for (int64_t j = 0; j < depth; j += strip)
            multiply(queries.data(), keys.data() + j, wide_seq, dim, scores.data() + j, wide_seq);
        float totals[group];
        for (int64_t r = 0; r < group; ++r) {
            float* score = scores.data() + r * wide_seq;
            totals[r] = r < rows ? softmax(score, first + r) : 1.0f;
            const int64_t known = r < rows ? first + r + 1 : 0;
            for (int64_t j = 0; j < known; ++j) weights[j * group + r] = score[j];
            for (int64_t j = known; j < depth; ++j) weights[j * group + r] = 0;
        }
        for (int64_t d = 0; d < dim; d += strip)
            multiply(weights.data(), values.data() + d, wide_dim, depth, result.data() + d, wide_dim);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t d = 0; d < dim; ++d) o[r * dim + d] = result[r * wide_dim + d] / totals[r];
    }
};

}  // namespace

extern "C" void solve(const float* q, const float* k, const float* v, float* o, int64_t batch, int64_t heads,
                      int64_t seq, int64_t head_dim) {
    Head head(seq, head_dim);
    const int64_t size = seq * head_dim;
    for (int64_t h = 0; h < batch * heads; ++h, q += size, k += size, v += size, o += size) {
        head.read(k, v);
        for (int64_t first = 0; first < seq; first += group) head.attend(q + first * head_dim, o + first * head_dim, first);
    }
}
