/* A folder of a test's own, below which services are shown (io/service_board.h), and the stand-in driver anew. */
#ifndef TEST_SERVICE_FOLDER_H
#define TEST_SERVICE_FOLDER_H

#include "tests/service_standin.h"

static char scratch[64], folder[96]; /* $XDG_RUNTIME_DIR, and what is ours in it */

static inline int service_folder_begin(uint64_t seed)
{
    service_standin_reset(seed);
    strcpy(scratch, "/tmp/tgraph-board-XXXXXX");
    assert_non_null(mkdtemp(scratch));
    snprintf(folder, sizeof folder, "%s/tgraph", scratch);
    setenv("XDG_RUNTIME_DIR", scratch, 1);
    return 0;
}

static inline int service_folder_end(void **state)
{
    (void)state;
    rmdir(folder);
    return rmdir(scratch); /* nothing is left */
}

#endif
