#include "io/cli/recording.h"

#include <stdlib.h>
#include <time.h>

#include "io/live_record.h"
#include "io/saved_plan.h"
#include "io/units.h"
#include "io/utf8.h"

bool tgi_cli_is_recording(const char *path) { return tgi_recording_is_one(path) || tgi_saved_plan_is_one(path); }

static int read_either(const char *path, struct tgi_recording *r_p, struct tg_error *err)
{
    struct tgi_saved_plan plan;
    if (!tgi_saved_plan_is_one(path))
        return tgi_recording_read(path, r_p, err);
    int rc = tgi_saved_plan_read(&plan, path, err);
    if (rc)
        return rc;
    rc = tgi_saved_plan_record(&plan, r_p, err);
    tgi_saved_plan_fini(&plan);
    return rc;
}

/* Of a run that was killed there is no record by its name. */
static void hint_at_live_record(const struct tgi_cli *cli, const char *path, int status)
{
    char *live = status == TG_E_OPEN ? tgi_live_record_path(path) : NULL;
    if (live && tgi_recording_is_one(live))
        tgi_cli_note(cli, "there is \"%s\", of a run that did not end or is still under way", live);
    free(live);
}

int tgi_cli_read_recording(const struct tgi_cli *cli, const char *path, struct tgi_recording *r_p,
                           struct tgi_recording_paths *paths_p)
{
    struct tgi_recording r;
    struct tg_error err;
    char have[TGI_UNITS_SIZE], all[TGI_UNITS_SIZE];
    if (read_either(path, &r, &err)) {
        int rc = tgi_cli_error(cli, &err);
        hint_at_live_record(cli, path, err.status);
        return rc;
    }
    if (tgi_recording_paths_create(&r, paths_p, &err)) {
        tgi_recording_fini(&r);
        return tgi_cli_error(cli, &err);
    }
    if (r.is_unfinished)
        tgi_cli_warn(cli, "\"%s\": the run did not end; %s of %s tasks had%s", path, tgi_format_count(r.n_ended, have, sizeof(have)),
                     tgi_format_count(r.n_tasks_expected, all, sizeof(all)), r.n_lost_live ? "; there was no room for some rounds and copies" : "");
    else if (r.is_cut)
        tgi_cli_warn(cli, "the record \"%s\" was cut off: %s of %s tasks are there", path,
                     tgi_format_count(r.n_tasks, have, sizeof(have)), tgi_format_count(r.n_tasks_expected, all, sizeof(all)));
    *r_p = r;
    return 0;
}

void tgi_cli_print_recording(const struct tgi_recording *r)
{
    const struct tgi_recording_head *h = &r->head;
    const char *name = tgi_recording_string(r, h->name), *outcome = tgi_recording_string(r, h->outcome),
               *machine = tgi_recording_string(r, h->machine);
    char n[TGI_UNITS_SIZE], when[64] = "";
    time_t began = (time_t)h->began_s;
    struct tm utc;
    tgi_utf8_print(stdout, name[0] ? name : "graph");
    printf(": ");
    tgi_utf8_print(stdout, outcome[0] ? outcome : "outcome unknown");
    printf(", %s task%s on ", tgi_format_count(h->n_tasks, n, sizeof(n)), h->n_tasks == 1 ? "" : "s");
    if (r->n_devices)
        printf("%u device%s + ", (unsigned)r->n_devices, r->n_devices == 1 ? "" : "s");
    printf("%u worker%s, policy ", h->n_workers, h->n_workers == 1 ? "" : "s");
    tgi_utf8_print(stdout, tgi_recording_string(r, h->policy));
    if (began && gmtime_r(&began, &utc) && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &utc) > 0)
        printf(", %s", when);
    if (machine[0]) {
        printf(" on ");
        tgi_utf8_print(stdout, machine);
    }
    putchar('\n');
}
