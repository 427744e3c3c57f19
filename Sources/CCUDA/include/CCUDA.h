// Calls of CUDA's libraries that take structures by value, through pointers found at run time.
#pragma once

// ncclUniqueId.
typedef struct { char bytes[128]; } ccuda_nccl_id;

// ncclCommInitRank(communicator, count, *id, rank).
int ccuda_nccl_init_rank(void *function, void **communicator, int count, const ccuda_nccl_id *id,
                         int rank);
