// libFuzzer's entry for programs that keep their own main.
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*execute)(const uint8_t *data, size_t size));
