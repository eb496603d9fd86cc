#include "io/cli/machine_choice.h"

#include <stdio.h>

#include "graph/error.h"
#include "io/machine_json.h"

/* GPUs that cannot be counted are no part of a machine. */
static uint32_t count_gpus(const struct tgi_cli *cli)
{
    uint32_t n = 0;
    struct tg_error err;
    int rc = tgi_cuda_count(&n, &err);
    if (rc && !tgi_cuda_is_absent(rc))
        tgi_cli_warn(cli, "this machine is taken to have no GPU: %s", err.text);
    return rc ? 0 : n;
}

/* With rough figures, finished. */
static int this_machine(const struct tgi_cli *cli, struct tgi_machine *m, struct tg_error *err)
{
    struct tgi_topology *topology;
    struct tgi_machine cpus;
    struct tgi_machine_change gpus = {0, 1, 1, 0};
    int rc = tgi_topology_open(NULL, &topology, err);
    if (rc)
        return rc;
    rc = tgi_machine_init_cpus(&cpus, topology, err);
    tgi_topology_close(topology);
    if (rc)
        return rc;
    gpus.n_gpus = count_gpus(cli);
    rc = tgi_machine_change(&cpus, &gpus, m, err);
    tgi_machine_fini(&cpus);
    return rc;
}

int tgi_cli_machine(const struct tgi_cli *cli, struct tgi_machine *m, struct tg_error *err)
{
    const char *path = tgi_cli_text(cli, "machine", NULL);
    return path ? tgi_machine_read(m, path, err) : this_machine(cli, m, err);
}

static void say_step(void *user, const char *what)
{
    tgi_cli_detail(user, "measuring %s", what);
}

void tgi_cli_calibration(const struct tgi_cli *cli, const struct tgi_device_choice *devices, struct tgi_calibration *c, char *text)
{
    *c = (struct tgi_calibration){.n_workers = devices->n_workers, .on_step = say_step, .user = (void *)cli};
    bool has_cuda = devices->is_given ? devices->has_cuda : count_gpus(cli) > 0;
    if (!has_cuda)
        return;
    if (devices->is_given)
        tgi_device_choice_format(devices, text, TGI_CALIBRATION_TEXT);
    else
        snprintf(text, TGI_CALIBRATION_TEXT, "cuda");
    c->devices = text;
    c->only_devices = devices->is_given && !devices->has_cpu;
    c->device_set = devices->cuda;
}

int tgi_cli_measured_machine(const char *path, struct tgi_machine *m_p, struct tg_error *err)
{
    struct tgi_calibration c = {0}; /* with all GPUs, whichever are used */
    struct tgi_machine_origin here;
    struct tgi_machine m;
    char why[256];
    uint32_t n;
    int rc = tgi_machine_read(&m, path, err);
    if (rc)
        return rc;
    if (m.origin.n_gpus && tgi_cuda_count(&n, NULL) == 0 && n > 0)
        c.devices = "cuda";
    rc = tgi_calibrate_origin(&c, &here, err);
    if (rc == 0 && !tgi_machine_is_of(&m.origin, &here, why, sizeof(why)))
        rc = tgi_error(err, TG_E_BAD_VALUE, "the machine file \"%s\" is not of this machine: %s", path, why);
    if (rc)
        tgi_machine_fini(&m);
    else
        *m_p = m;
    return rc;
}
