// Hot loops for which Swift would need run-time dispatch on the vector width.
//
// Every kernel exists for float (suffix _f) and double (suffix _d). Arrays are dense and row-major; `rows` runs over
// the batch. No kernel allocates. Contraction into fused multiply-add is allowed: the error bounds of module Rigor
// hold with and without it.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdint.h>

#include "Decomposition.h"

typedef struct {
  int32_t destination;
  int32_t source;
  int32_t length;
} ck_run;

#define CK_DECLARE(T, S)                                                                                     \
  /* y += x */                                                                                               \
  void ck_add_##S(int64_t n, const T *x, T *y);                                                              \
  /* y += a x */                                                                                             \
  void ck_axpy_##S(int64_t n, T a, const T *x, T *y);                                                        \
  /* z = x * y */                                                                                            \
  void ck_multiply_##S(int64_t n, const T *x, const T *y, T *z);                                             \
  /* y = max(x, 0); NaN stays NaN */                                                                         \
  void ck_relu_##S(int64_t n, const T *x, T *y);                                                             \
  /* y[r, o] = x[r, index[o]], or 0 where index[o] < 0 */                                                    \
  void ck_gather_##S(int64_t rows, int64_t nin, int64_t nout, const int32_t *index, const T *x, T *y);       \
  /* x[r, index[o]] += y[r, o] */                                                                            \
  void ck_scatter_add_##S(int64_t rows, int64_t nin, int64_t nout, const int32_t *index, const T *y, T *x);  \
  /* the same two for index tables made of contiguous runs; ck_copy_runs leaves other places untouched */    \
  void ck_copy_runs_##S(int64_t rows, int64_t nin, int64_t nout, int64_t nruns, const ck_run *runs,          \
                        const T *x, T *y);                                                                   \
  void ck_add_runs_##S(int64_t rows, int64_t nin, int64_t nout, int64_t nruns, const ck_run *runs,           \
                       const T *y, T *x);                                                                    \
  /* x[r, c, index[t, p]] += y[c, t, r, p] where the index is not negative: windows of several samples, held  \
     side by side for one matrix product, are added to the samples they overlap in */                        \
  void ck_fold_##S(int64_t rows, int64_t channels, int64_t taps, int64_t positions, int64_t nin,             \
                   const int32_t *index, const T *y, T *x);                                                  \
  /* used[j] |= x[r, j] != 0 for all rows; stops when all n are used. Returns the number of columns used */      \
  int64_t ck_used_columns_##S(int64_t rows, int64_t n, const T *x, uint8_t *used);                           \
  void ck_gather_columns_##S(int64_t rows, int64_t n, int64_t count, const int32_t *column, const T *x, T *y);\
  /* y[r, o] = sum over entries e of row o of value[e] x[r, column[e]] (CSR) */                              \
  void ck_csr_##S(int64_t rows, int64_t nin, int64_t nout, const int32_t *start, const int32_t *column,      \
                  const T *value, const T *x, T *y);                                                         \
  /* One side of a linear relaxation. For every row r, with a = A[r, j]:                                     \
     out[r, j] = max(a,0) ps[j] + min(a,0) ns[j];  constant[r] += sum_j max(a,0) pt[j] + min(a,0) nt[j];     \
     slack[r] += sum_j |a| e[j].  A and out may be the same array. */                                        \
  void ck_relax_##S(int64_t rows, int64_t n, const T *A, const T *ps, const T *pt, const T *ns, const T *nt, \
                    const T *e, T *out, T *constant, T *slack);                                              \
  /* out[r] += sum_j |A[r, j]| v[j] */                                                                       \
  void ck_abs_dot_##S(int64_t rows, int64_t n, const T *A, const T *v, T *out);                              \
  /* out[r] += sum_j A[r, j] v[j] */                                                                         \
  void ck_dot_##S(int64_t rows, int64_t n, const T *A, const T *v, T *out);

CK_DECLARE(float, f)
CK_DECLARE(double, d)

#undef CK_DECLARE

// Tells the allocator to keep freed blocks of up to 32 MB instead of returning their pages to the system. A search that
// allocates and frees such blocks all the time spends a fifth of its time on page faults otherwise.
void ck_keep_freed_memory(void);

#include "GraphKernels.h"
#endif
