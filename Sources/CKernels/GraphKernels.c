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

// Vectors of 32 bytes that may lie anywhere.
typedef float vector_f __attribute__((vector_size(32), aligned(4)));
typedef double vector_d __attribute__((vector_size(32), aligned(8)));

#define T float
#define VECTOR vector_f
#define LANES 8
#define SQRT __builtin_sqrtf
#define NAME(x) x##_f
#include "GraphKernels.inc"
#undef T
#undef VECTOR
#undef LANES
#undef SQRT
#undef NAME

#define T double
#define VECTOR vector_d
#define LANES 4
#define SQRT __builtin_sqrt
#define NAME(x) x##_d
#include "GraphKernels.inc"
#undef T
#undef VECTOR
#undef LANES
#undef SQRT
#undef NAME
