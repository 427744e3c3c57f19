// The microkernels' one public face. No vector type crosses it: pointers, sizes and strides only.
#ifndef CMICROKERNELS_H
#define CMICROKERNELS_H

#include "attention_kernels.h"
#include "cpu.h"
#include "isa.h"
#include "linear_kernels.h"

#endif
