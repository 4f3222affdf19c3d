#pragma once
#include <stddef.h>
#include <stdio.h>
#include <gmp.h>

// The public names of GMP are function-like macros or map to prefixed symbols, which Swift does
// not import; these wrappers give the few that are needed a name.
static inline int cgmp_mpz_sgn(const __mpz_struct *a) { return mpz_sgn(a); }
static inline int cgmp_mpq_sgn(const __mpq_struct *a) { return mpq_sgn(a); }
static inline __mpz_struct *cgmp_mpq_num(__mpq_struct *a) { return mpq_numref(a); }
static inline __mpz_struct *cgmp_mpq_den(__mpq_struct *a) { return mpq_denref(a); }
static inline int cgmp_mpz_is_odd(const __mpz_struct *a) { return mpz_odd_p(a); }

// y[j] += (x[j] * m) << s for j < n, with `t` as working space: the inner loop of exact matrix products.
static inline void cgmp_row_add_scaled(
    __mpz_struct *y, const __mpz_struct *x, size_t n, long m, unsigned long s, __mpz_struct *t) {
  unsigned long a = m < 0 ? 0UL - (unsigned long)m : (unsigned long)m;
  if (a == 0) return;
  // One multiplication by a machine word if the shifted factor fits one.
  int small = s < 64 && (a >> (63 - s)) == 0;
  for (size_t j = 0; j < n; j++) {
    if (x[j]._mp_size == 0) continue;
    if (small) {
      if (m > 0) mpz_addmul_ui(&y[j], &x[j], a << s);
      else mpz_submul_ui(&y[j], &x[j], a << s);
    } else {
      mpz_mul_ui(t, &x[j], a);
      mpz_mul_2exp(t, t, s);
      if (m > 0) mpz_add(&y[j], &y[j], t);
      else mpz_sub(&y[j], &y[j], t);
    }
  }
}
