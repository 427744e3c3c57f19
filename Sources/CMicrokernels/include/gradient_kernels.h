// Microkernels of attention's backward pass.
#ifndef SWA_GRADIENT_KERNELS_H
#define SWA_GRADIENT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/// Columns that lie next to each other in the right factor of a product.
#define SWA_PRODUCT_GROUP 16

/// The backward pass's kernels of one instruction-set level.
///
/// *Products.* C (+)= A·B for small matrices of floats, `rows × columns` with inner length `depth`;
/// C is added to where `accumulate` says so. Rows of C are `ldc` floats apart. The columns of B come
/// in groups of 16: element (k, n) is b[n / 16·group + k·ldb + n mod 16], so that a row-major
/// matrix has group = 16, and a panel of keys ldb = 16. Whole vectors are read and
/// written: there must be room for `columns` rounded up to a multiple of 16.
typedef struct swa_gradient_kernels {
  /// A row by row: element (m, k) is a[m·lda + k].
  void (*product_rows)(const float *a, size_t lda, const float *b, size_t ldb, size_t group,
                       size_t rows, size_t columns, size_t depth, float *c, size_t ldc,
                       bool accumulate);
  /// A column by column: element (m, k) is a[k·lda + m].
  void (*product_columns)(const float *a, size_t lda, const float *b, size_t ldb, size_t group,
                          size_t rows, size_t columns, size_t depth, float *c, size_t ldc,
                          bool accumulate);

  /// `count` rows, `pitch` floats apart, to panels of 16 that are the right factor of a product by
  /// the transpose: element (k, n) of panel p is row 16·p + n's element k. Panels follow one another,
  /// 16 times d rounded up to 4 floats each; rows are read so far. Missing rows are zero.
  void (*transpose)(const float *rows, size_t pitch, size_t count, size_t d, float *panels);

  // The gradient through a row of weights; `count` is a multiple of 16.

  /// Softmax: z becomes p = e^(z − lse), dp becomes dz = p·(dp − delta). Where p is 0 so is dz,
  /// whatever dp is. An empty row is told by lse = +∞.
  void (*softmax)(float *z, float *dp, size_t count, float lse, float delta);
  /// Without softmax: p = z and dz = dp, both 0 where z is −∞.
  void (*unnormalized)(float *z, float *dp, size_t count);
  /// dz[i] = dz[i]·factor[i]; a dz of 0 stays 0 whatever the factor.
  void (*chain)(const float *factor, float *dz, size_t count);
  /// Σ dz[i]·factor[i]; where dz is 0 the factor does not count.
  float (*weighted_sum)(const float *dz, const float *factor, size_t count);
  /// Σ a[i]·b[i] of any number of elements.
  float (*dot)(const float *a, const float *b, size_t count);
} swa_gradient_kernels;

#endif
