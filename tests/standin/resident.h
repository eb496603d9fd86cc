/* The resident executor's kernel among the stand-in's. */
#ifndef STANDIN_RESIDENT_H
#define STANDIN_RESIDENT_H

#include <stdio.h>

/* Registers it, and writes its line of a module image. */
void resident_register(FILE *image);

#endif
