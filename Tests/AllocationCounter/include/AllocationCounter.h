// How often the calling thread has asked for memory.
//
// Linked into a test, this target's malloc and its relatives take the place of the C library's for
// the whole process; they count and pass on.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

/// Calls of malloc, calloc, realloc and the aligned ones by this thread so far; −1 where the C
/// library's allocator cannot be replaced.
long allocation_count(void);

#endif
