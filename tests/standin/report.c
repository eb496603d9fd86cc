/* Violations that other stand-ins see. */
#include "tests/standin/internal.h"

void standin_report(const char *text)
{
    pthread_mutex_lock(&state.lock);
    violation("%s", text);
    pthread_mutex_unlock(&state.lock);
}
