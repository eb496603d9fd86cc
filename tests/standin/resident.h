/* The resident executor's kernel among the stand-in's. */
#ifndef STANDIN_RESIDENT_H
#define STANDIN_RESIDENT_H

#include <stdio.h>

/* Registers it, and writes its line of a module image. */
void resident_register(FILE *image);
void resident_dynamic_register(void); /* which is in generated modules only */
void resident_spread_register(void);  /* as well */
/* Launches that wait for those of other devices are gone. */
void resident_reset(void);
/* A function that is a body wants a task, from the thread of the worker that calls it; 0, or there is no room. */
unsigned resident_spawn(int wants, unsigned body, const unsigned long *words, unsigned n);

#endif
