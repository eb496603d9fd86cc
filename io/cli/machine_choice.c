#include "io/cli/machine_choice.h"

#include <stdio.h>

#include "graph/error.h"
#include "io/machine_json.h"

int tgi_cli_this_machine(struct tgi_machine *m, struct tg_error *err)
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
    if (tgi_cuda_count(&gpus.n_gpus, NULL))
        gpus.n_gpus = 0;
    rc = tgi_machine_change(&cpus, &gpus, m, err);
    tgi_machine_fini(&cpus);
    return rc;
}

int tgi_cli_machine(const struct tgi_cli *cli, struct tgi_machine *m, struct tg_error *err)
{
    const char *path = tgi_cli_text(cli, "machine", NULL);
    return path ? tgi_machine_read(m, path, err) : tgi_cli_this_machine(m, err);
}

static void say_step(void *user, const char *what)
{
    tgi_cli_detail(user, "measuring %s", what);
}

void tgi_cli_calibration(const struct tgi_cli *cli, const struct tgi_device_choice *devices, struct tgi_calibration *c, char *text)
{
    uint32_t n;
    *c = (struct tgi_calibration){.n_workers = devices->n_workers, .on_step = say_step, .user = (void *)cli};
    bool has_cuda = devices->is_given ? devices->has_cuda : tgi_cuda_count(&n, NULL) == 0 && n > 0;
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
