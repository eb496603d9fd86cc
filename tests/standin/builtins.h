/* The built-in kernels on the stand-in driver: registered when the library is loaded, under the names of
 * their variants for GPUs, with the functions of their variants for CPUs. */
#ifndef STANDIN_BUILTINS_H
#define STANDIN_BUILTINS_H

#include "tests/standin/standin.h"

/* The kernels of a service (service.c, service_bodies.c, service_keeping.c). */
extern const struct standin_kernel standin_service, standin_service_bodies, standin_service_keeping;

/* Whether it is one of them, which waits by itself for what it comes after when it is launched early (kernels/entry.cuh). */
bool is_builtin(const struct standin_kernel *kernel);

/* The text that an image stands for: its own, or that of the built-in kernels if it is a fat binary. */
const char *image_text(const void *image);

#endif
