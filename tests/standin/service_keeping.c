/* The same where instances can be kept. */
#define TGI_KEEPS 1
#include "tests/standin/service_bodies.c"
