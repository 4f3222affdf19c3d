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
