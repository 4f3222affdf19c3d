// Aggregation along the edges of a graph. Included by CKernels.h; conventions as there.
//
// Arcs are grouped by the node they end in: place p in start[i] ..< start[i + 1] of a node i names the arc `arc[p]`
// and the node it comes from, `other[p]`. Coefficients are row-major [rows, arcs, heads]; node values
// [rows, nodes, width], width a multiple of heads. A stride of 0 says that all rows share one array.
#ifndef GRAPH_KERNELS_H
#define GRAPH_KERNELS_H

#include <stdint.h>

#define CK_DECLARE_GRAPH(T, S)                                                                               \
  /* y[r, i, :] = sum over places p of node i of c[r, arc[p], head] x[r, other[p], :] */                     \
  void ck_aggregate_##S(int64_t rows, int64_t nodes, int64_t heads, int64_t width, const int32_t *start,     \
                        const int32_t *arc, const int32_t *other, const T *c, int64_t cstride, int64_t cdiv, \
                        const T *x, int64_t xstride, int64_t xdiv, T *y);                                    \
  /* g[r, arc[p], head] = sum over the head's channels of y[r, i, :] x[r, other[p], :] */                    \
  void ck_aggregate_edges_##S(int64_t rows, int64_t nodes, int64_t arcs, int64_t others, int64_t heads,      \
                              int64_t width, const int32_t *start, const int32_t *arc, const int32_t *other, \
                              const T *y, int64_t ydiv, const T *x, int64_t xdiv, T *g);                     \
  /* out[r, :] = w[r, arc] / sqrt(d d) for every arc, then self / d for every node, d = self + sum of w */   \
  void ck_gcn_normalise_##S(int64_t rows, int64_t arcs, int64_t nodes, const int32_t *source,                \
                            const int32_t *target, const T *self, const T *w, T *scratch, T *out);           \
  /* every row of x divided by max(its Euclidean norm, eps) */                                               \
  void ck_normalise_rows_##S(int64_t rows, int64_t width, T eps, const T *x, T *y);

CK_DECLARE_GRAPH(float, f)
CK_DECLARE_GRAPH(double, d)

#undef CK_DECLARE_GRAPH
#endif
