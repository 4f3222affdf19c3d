#ifndef GEMM_METER_H
#define GEMM_METER_H

/* What matrix products have done since the last reset, over all threads. */
typedef struct {
  double operations; /* floating-point operations: 2 m n k each */
  double seconds;    /* processor time inside them, summed over threads */
  long calls;
} gemm_meter_reading;

void gemm_meter_reset(void);
gemm_meter_reading gemm_meter_read(void);

/* Operations per second of one thread on square double-precision products of the given size. */
double gemm_meter_peak(int size, int repetitions);

#endif
