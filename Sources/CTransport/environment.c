#include "CTransport.h"

extern char **environ;

char **transport_environment(void) { return environ; }
