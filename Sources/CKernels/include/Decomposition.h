// Kernels of attention and of contextual decomposition, in double precision.
//
// No result depends on where an element or a row stands in its array, so batches of any size agree bit for bit.
#ifndef CK_DECOMPOSITION_H
#define CK_DECOMPOSITION_H

#include <stdint.h>

// Attention of one head: nq queries, nk keys and values of width d, with leading dimensions ldq, ldk, ldv, ldz.
// Query i sees the keys j <= i + reach that `hidden` (or NULL) does not mark, and beside them `zeros` keys whose score
// and value are 0. z = softmax(scale q k') v. The pattern goes to `pattern` (nq x nk, or NULL). `scratch` holds
// (d + 2) nk elements.
void ck_attention(int64_t nq, int64_t nk, int64_t d, const double *q, int64_t ldq, const double *k, int64_t ldk,
                  const double *v, int64_t ldv, double scale, int64_t reach, int64_t zeros, const uint8_t *hidden,
                  double *scratch, double *z, int64_t ldz, double *pattern);

// z = pattern v, with the same meaning of `reach`; pattern has leading dimension ldp.
void ck_attend(int64_t nq, int64_t nk, int64_t d, const double *pattern, int64_t ldp, const double *v, int64_t ldv,
               int64_t reach, double *z, int64_t ldz);

// The bias of an affine map, divided in proportion to magnitudes.
// One stream: y holds beta before the bias, x the total after it; gamma = (x - bias) - y.
void ck_cd_bias(int64_t n, const double *x, const double *bias, double tolerance, int exact, double *y);
// Two streams.
void ck_cd_bias_pair(int64_t n, const double *bias, double tolerance, int exact, double *y, double *g);

// LayerNorm of beta. x are the totals before the norm, scale[r] = 1 / sqrt(var + eps) of row r.
void ck_cd_norm(int64_t rows, int64_t n, const double *x, const double *scale, const double *gain,
                const double *shift, double tolerance, int exact, double *y);
// The same for both streams; the variance is that of their sum.
void ck_cd_norm_pair(int64_t rows, int64_t n, double epsilon, const double *gain, const double *shift,
                     double tolerance, int exact, double *y, double *g);
// scale[r] = 1 / sqrt(var + eps).
void ck_norm_scale(int64_t rows, int64_t n, const double *x, double epsilon, double *scale);
// LayerNorm itself; y and x may be the same array.
void ck_norm(int64_t rows, int64_t n, const double *x, double epsilon, const double *gain, const double *shift,
             double *y);

// Sign cleaning: where beta and gamma have opposite signs the larger takes the total.
void ck_cd_clean(int64_t n, const double *x, double *y);
void ck_cd_clean_pair(int64_t n, double *y, double *g);

// z = x - y
void ck_difference(int64_t n, const double *x, const double *y, double *z);
// max |y + g - x|
double ck_cd_error(int64_t n, const double *x, const double *y, const double *g);

// GELU in its tanh form, x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), within a few units in the last place.
void ck_gelu_tanh(int64_t n, const double *x, double *y);

#endif
