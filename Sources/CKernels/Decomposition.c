#include "Decomposition.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__) && defined(__linux__)
#define CK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CK_CLONES
#endif

// Sums over a row run in this many lanes, each in order, so that they vectorise with a fixed order of additions.
#define LANES 8

// e^x within 2 units in the last place for x in [-708, 709], 0 below; branchless, so that loops over it vectorise.
// x = n ln 2 + r with |r| <= ln 2 / 2; the Taylor polynomial of degree 13 leaves r^14 / 14! < 5e-18.
static inline __attribute__((always_inline)) double fast_exp(double x) {
  const double shift = 0x1.8p52;
  double c = x < -708.0 ? -708.0 : x;
  double t = c * 1.4426950408889634 + shift;
  int64_t bits;
  memcpy(&bits, &t, sizeof bits);
  double n = t - shift;
  double r = (c - n * 0x1.62e42fefa0000p-1) - n * 0x1.cf79abc9e3b39p-40;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r;
  // 2^n: the low bits of the shifted number are n.
  uint64_t power = (uint64_t)(bits + 1023) << 52;
  double scale;
  memcpy(&scale, &power, sizeof scale);
  double y = scale + scale * p;
  return x < -708.0 ? 0.0 : y;
}

CK_CLONES void ck_attention(int64_t nq, int64_t nk, int64_t d, const double *q, int64_t ldq, const double *k,
                            int64_t ldk, const double *v, int64_t ldv, double scale, int64_t reach, int64_t zeros,
                            const uint8_t *hidden, double *scratch, double *z, int64_t ldz, double *pattern) {
  double *kt = scratch;           // d x nk, so that one query element meets all keys at once
  double *score = scratch + d * nk;
  for (int64_t j = 0; j < nk; j++)
    for (int64_t c = 0; c < d; c++) kt[c * nk + j] = k[j * ldk + c];
  for (int64_t i = 0; i < nq; i++) {
    int64_t n = i + reach + 1 < nk ? i + reach + 1 : nk;
    for (int64_t j = 0; j < n; j++) score[j] = 0;
    for (int64_t c = 0; c < d; c++) {
      double a = q[i * ldq + c];
      const double *row = kt + c * nk;
      for (int64_t j = 0; j < n; j++) score[j] += a * row[j];
    }
    double max = zeros > 0 ? 0 : -INFINITY;
    for (int64_t j = 0; j < n; j++) {
      score[j] *= scale;
      if (hidden && hidden[j]) score[j] = -INFINITY;
      if (score[j] > max) max = score[j];
    }
    double sum = zeros > 0 ? (double)zeros * fast_exp(-max) : 0;
    for (int64_t j = 0; j < n; j++) score[j] = fast_exp(score[j] - max);
    for (int64_t j = 0; j < n; j++) sum += score[j];
    double *out = z + i * ldz;
    for (int64_t c = 0; c < d; c++) out[c] = 0;
    for (int64_t j = 0; j < n; j++) {
      double a = score[j] / sum;
      if (pattern) pattern[i * nk + j] = a;
      const double *value = v + j * ldv;
      for (int64_t c = 0; c < d; c++) out[c] += a * value[c];
    }
    if (pattern)
      for (int64_t j = n; j < nk; j++) pattern[i * nk + j] = 0;
  }
}

CK_CLONES void ck_attend(int64_t nq, int64_t nk, int64_t d, const double *pattern, int64_t ldp, const double *v,
                         int64_t ldv, int64_t reach, double *z, int64_t ldz) {
  for (int64_t i = 0; i < nq; i++) {
    int64_t n = i + reach + 1 < nk ? i + reach + 1 : nk;
    double *out = z + i * ldz;
    for (int64_t c = 0; c < d; c++) out[c] = 0;
    for (int64_t j = 0; j < n; j++) {
      double a = pattern[i * ldp + j];
      const double *value = v + j * ldv;
      for (int64_t c = 0; c < d; c++) out[c] += a * value[c];
    }
  }
}

CK_CLONES void ck_cd_bias(int64_t n, const double *x, const double *bias, double tolerance, int exact, double *y) {
  if (exact) {
    for (int64_t i = 0; i < n; i++) {
      double b = y[i], g = (x[i] - bias[i]) - b;
      double ab = fabs(b), ag = fabs(g);
      double share = ab / (ab + ag + tolerance);
      share = ((ag == 0) & (ab != 0)) ? 1.0 : share;
      y[i] = b + bias[i] * share;
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      double b = y[i], g = (x[i] - bias[i]) - b;
      double ab = fabs(b), ag = fabs(g);
      y[i] = b + bias[i] * (ab / (ab + ag + tolerance));
    }
  }
}

CK_CLONES void ck_cd_bias_pair(int64_t n, const double *bias, double tolerance, int exact, double *y, double *g) {
  if (exact) {
    for (int64_t i = 0; i < n; i++) {
      double ab = fabs(y[i]), ag = fabs(g[i]);
      double share = ab / (ab + ag + tolerance);
      share = ((ag == 0) & (ab != 0)) ? 1.0 : share;
      double part = bias[i] * share;
      y[i] += part;
      g[i] += bias[i] - part;
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      double ab = fabs(y[i]), ag = fabs(g[i]);
      double whole = ab + ag + tolerance;
      y[i] += bias[i] * (ab / whole);
      g[i] += bias[i] * (ag / whole);
    }
  }
}

static inline __attribute__((always_inline)) double lane_sum(const double *lane) {
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static inline __attribute__((always_inline)) double mean(int64_t n, const double *x) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lane[l] += x[i + l];
  for (int l = 0; i < n; i++, l++) lane[l] += x[i];
  return lane_sum(lane) / (double)n;
}

static inline __attribute__((always_inline)) double variance(int64_t n, const double *x, double center) {
  double lane[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lane[l] += (x[i + l] - center) * (x[i + l] - center);
  for (int l = 0; i < n; i++, l++) lane[l] += (x[i] - center) * (x[i] - center);
  return lane_sum(lane) / (double)n;
}

CK_CLONES void ck_norm_scale(int64_t rows, int64_t n, const double *x, double epsilon, double *scale) {
  for (int64_t r = 0; r < rows; r++, x += n) scale[r] = 1 / sqrt(variance(n, x, mean(n, x)) + epsilon);
}

CK_CLONES void ck_norm(int64_t rows, int64_t n, const double *x, double epsilon, const double *gain,
                       const double *shift, double *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    double m = mean(n, x);
    double s = 1 / sqrt(variance(n, x, m) + epsilon);
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * gain[i] + shift[i];
  }
}

CK_CLONES void ck_cd_norm(int64_t rows, int64_t n, const double *x, const double *scale, const double *gain,
                          const double *shift, double tolerance, int exact, double *y) {
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    double m = mean(n, y), s = scale[r];
    if (exact) {
      for (int64_t i = 0; i < n; i++) {
        double b = y[i], ab = fabs(b), ag = fabs(x[i] - b);
        double share = ab / (ab + ag + tolerance);
        share = ((ag == 0) & (ab != 0)) ? 1.0 : share;
        y[i] = (b - m) * s * gain[i] + shift[i] * share;
      }
    } else {
      for (int64_t i = 0; i < n; i++) {
        double b = y[i], ab = fabs(b), ag = fabs(x[i] - b);
        y[i] = (b - m) * s * gain[i] + shift[i] * (ab / (ab + ag + tolerance));
      }
    }
  }
}

CK_CLONES void ck_cd_norm_pair(int64_t rows, int64_t n, double epsilon, const double *gain, const double *shift,
                               double tolerance, int exact, double *y, double *g) {
  for (int64_t r = 0; r < rows; r++, y += n, g += n) {
    double my = mean(n, y), mg = mean(n, g);
    double lane[LANES] = {0};
    int64_t i = 0;
    // The variance of the total, around its own mean.
    double mt;
    {
      double sums[LANES] = {0};
      for (i = 0; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) sums[l] += y[i + l] + g[i + l];
      for (int l = 0; i < n; i++, l++) sums[l] += y[i] + g[i];
      mt = lane_sum(sums) / (double)n;
    }
    for (i = 0; i + LANES <= n; i += LANES)
      for (int l = 0; l < LANES; l++) {
        double t = (y[i + l] + g[i + l]) - mt;
        lane[l] += t * t;
      }
    for (int l = 0; i < n; i++, l++) {
      double t = (y[i] + g[i]) - mt;
      lane[l] += t * t;
    }
    double s = 1 / sqrt(lane_sum(lane) / (double)n + epsilon);
    for (i = 0; i < n; i++) {
      double ab = fabs(y[i]), ag = fabs(g[i]);
      double whole = ab + ag + tolerance;
      double share = ab / whole;
      double rest;
      if (exact) {
        share = ((ag == 0) & (ab != 0)) ? 1.0 : share;
        double part = shift[i] * share;
        rest = shift[i] - part;
        y[i] = (y[i] - my) * s * gain[i] + part;
      } else {
        rest = shift[i] * (ag / whole);
        y[i] = (y[i] - my) * s * gain[i] + shift[i] * share;
      }
      g[i] = (g[i] - mg) * s * gain[i] + rest;
    }
  }
}

CK_CLONES void ck_cd_clean(int64_t n, const double *x, double *y) {
  for (int64_t i = 0; i < n; i++) {
    double b = y[i], g = x[i] - b;
    double kept = fabs(b) >= fabs(g) ? x[i] : 0.0;
    int opposite = ((b > 0) & (g < 0)) | ((b < 0) & (g > 0));
    y[i] = opposite ? kept : b;
  }
}

CK_CLONES void ck_cd_clean_pair(int64_t n, double *y, double *g) {
  for (int64_t i = 0; i < n; i++) {
    double b = y[i], c = g[i], t = b + c;
    int opposite = ((b > 0) & (c < 0)) | ((b < 0) & (c > 0));
    int larger = fabs(b) >= fabs(c);
    y[i] = opposite ? (larger ? t : 0.0) : b;
    g[i] = opposite ? (larger ? 0.0 : t) : c;
  }
}

CK_CLONES void ck_difference(int64_t n, const double *x, const double *y, double *z) {
  for (int64_t i = 0; i < n; i++) z[i] = x[i] - y[i];
}

CK_CLONES double ck_cd_error(int64_t n, const double *x, const double *y, const double *g) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double e = fabs((y[i] + g[i]) - x[i]);
    // A NaN must not pass for no error.
    worst = e <= worst ? worst : e;
    if (e != e) return e;
  }
  return worst;
}

CK_CLONES void ck_gelu_tanh(int64_t n, const double *x, double *y) {
  for (int64_t i = 0; i < n; i++) {
    // x sigmoid(z), z twice the argument of tanh: no cancellation on the negative side.
    double t = x[i], z = 1.5957691216057308 * (t + 0.044715 * t * t * t);
    double e = fast_exp(-fabs(z));
    double share = (z >= 0 ? 1.0 : e) / (1.0 + e);
    y[i] = z < -708.0 ? 0.0 : t * share;
  }
}
