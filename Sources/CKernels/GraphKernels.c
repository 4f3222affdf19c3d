#include "CKernels.h"

// Sums of a row may be reassociated, so that they vectorise: the error bounds hold for any summation order.
#if defined(__clang__)
#pragma clang fp reassociate(on) contract(fast)
#endif

#if defined(__x86_64__) && defined(__linux__)
#define CK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CK_CLONES
#endif

#define T float
#define SQRT __builtin_sqrtf
#define NAME(x) x##_f
#include "GraphKernels.inc"
#undef T
#undef SQRT
#undef NAME

#define T double
#define SQRT __builtin_sqrt
#define NAME(x) x##_d
#include "GraphKernels.inc"
#undef T
#undef SQRT
#undef NAME
