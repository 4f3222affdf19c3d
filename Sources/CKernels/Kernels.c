#include "CKernels.h"

// One binary serves every x86-64 machine: the loader picks the widest clone the processor has.
#if defined(__x86_64__) && defined(__linux__)
#define CK_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CK_CLONES
#endif

#define T float
#define NAME(x) x##_f
#include "Kernels.inc"
#undef T
#undef NAME

#define T double
#define NAME(x) x##_d
#include "Kernels.inc"
#undef T
#undef NAME
