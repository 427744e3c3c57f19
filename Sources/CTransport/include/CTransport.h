// The two things Swift cannot say itself: calls of libcurl's variadic functions through pointers
// found at run time, and the process environment. libcurl is not needed to build.
#ifndef CTRANSPORT_H
#define CTRANSPORT_H

/// Calls `curl_easy_setopt`, found at `function`, with a long.
static inline int transport_set_long(void *function, void *handle, int option, long value) {
  return ((int (*)(void *, int, ...))function)(handle, option, value);
}

/// Calls `curl_easy_setopt`, found at `function`, with a pointer.
static inline int transport_set_pointer(
    void *function, void *handle, int option, const void *value) {
  return ((int (*)(void *, int, ...))function)(handle, option, value);
}

typedef unsigned long (*transport_receiver)(char *bytes, unsigned long size, unsigned long count,
                                            void *context);

/// Calls `curl_easy_setopt`, found at `function`, with a callback.
static inline int transport_set_receiver(
    void *function, void *handle, int option, transport_receiver receiver) {
  return ((int (*)(void *, int, ...))function)(handle, option, receiver);
}

/// Calls `curl_easy_getinfo`, found at `function`, for a long.
static inline int transport_get_long(void *function, void *handle, int info, long *value) {
  return ((int (*)(void *, int, ...))function)(handle, info, value);
}

/// The environment of this process: strings `NAME=value`, the last pointer null.
char **transport_environment(void);

#endif
