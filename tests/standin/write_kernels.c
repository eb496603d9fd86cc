/* write_kernels LIBRARY FILE: the module of all built-in kernels, as LIBRARY, a stand-in driver, reads it. */
#include "tests/standin/standin.h"

int main(int argc, char **argv)
{
    struct standin standin;
    if (argc != 3) {
        fprintf(stderr, "usage: write_kernels LIBRARY FILE\n");
        return 2;
    }
    if (!standin_load(&standin, argv[1])) {
        fprintf(stderr, "write_kernels: %s\n", dlerror());
        return 1;
    }
    if (standin.standin_write_kernels(argv[2])) {
        perror(argv[2]);
        return 1;
    }
    return 0;
}
