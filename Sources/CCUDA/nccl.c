#include "CCUDA.h"

int ccuda_nccl_init_rank(void *function, void **communicator, int count, const ccuda_nccl_id *id,
                         int rank) {
  return ((int (*)(void **, int, ccuda_nccl_id, int))function)(communicator, count, *id, rank);
}
