/* The resident executor's kernel (gpu/resident/run.cu) among the stand-in's. */
#include "tests/standin/resident_launch.h"

static int run(void **args, const void *launch)
{
    struct tgi_resident_view given;
    struct resident r = {.launch = launch};
    memcpy(&given, args[0], sizeof given);
    if (!prepare(&r, "tgk_resident_run", &given))
        return 0;
    begin_workers(&r);
    end_workers(&r);
    return 0;
}

void resident_register(FILE *image)
{
    static const struct standin_param params[] = {{sizeof(struct tgi_resident_view), STANDIN_VALUE}};
    static const struct standin_kernel kernel = {"tgk_resident_run", run, 1, params, NULL, NULL};
    if (standin_register_kernel(&kernel)) {
        fprintf(stderr, "stand-in driver: cannot register kernel %s\n", kernel.name);
        abort();
    }
    fprintf(image, "kernel %s registers=255 threads=%u\n", kernel.name, 32 * TGI_RESIDENT_RUN_WARPS);
}
