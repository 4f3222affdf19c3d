/* Counts the matrix products of the process. The executable's definition of cblas_dgemm comes before that of the BLAS
   library, to which each call is passed on. The library measured needs no change. */
#define _GNU_SOURCE
#include "GemmMeter.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

typedef void (*dgemm_function)(int, int, int, int, int, int, double, const double *, int, const double *, int,
                               double, double *, int);

static dgemm_function real_dgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic long operations, nanoseconds, calls;

static void find(void) { real_dgemm = (dgemm_function)dlsym(RTLD_NEXT, "cblas_dgemm"); }

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* what other processes do is none of our business */
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

void cblas_dgemm(int order, int transA, int transB, int m, int n, int k, double alpha, const double *a, int lda,
                 const double *b, int ldb, double beta, double *c, int ldc) {
  pthread_once(&once, find);
  if (!real_dgemm) abort(); /* linked without a BLAS library: nothing to measure */
  long start = now();
  real_dgemm(order, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  atomic_fetch_add(&nanoseconds, now() - start);
  atomic_fetch_add(&operations, 2L * m * n * k);
  atomic_fetch_add(&calls, 1);
}

void gemm_meter_reset(void) {
  atomic_store(&operations, 0);
  atomic_store(&nanoseconds, 0);
  atomic_store(&calls, 0);
}

gemm_meter_reading gemm_meter_read(void) {
  gemm_meter_reading reading = {(double)atomic_load(&operations), atomic_load(&nanoseconds) * 1e-9,
                                atomic_load(&calls)};
  return reading;
}

double gemm_meter_peak(int size, int repetitions) {
  double *a = malloc(sizeof(double) * size * size);
  double *b = malloc(sizeof(double) * size * size);
  double *c = calloc((size_t)size * size, sizeof(double));
  if (!a || !b || !c) return 0;
  for (int i = 0; i < size * size; i++) {
    a[i] = (i % 7) * 0.25;
    b[i] = (i % 5) * 0.5;
  }
  double best = 0;
  for (int r = 0; r < repetitions; r++) {
    long start = now();
    cblas_dgemm(101, 111, 111, size, size, size, 1, a, size, b, size, 0, c, size);
    double rate = 2.0 * size * size * size / ((now() - start) * 1e-9);
    if (rate > best) best = rate;
  }
  free(a);
  free(b);
  free(c);
  return best;
}
