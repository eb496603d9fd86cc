#include "io/run_bounds.h"

#include <math.h>

#include "io/units.h"

struct tgi_run_bounds tgi_run_bounds(double path_ns, double area_ns, const struct tgi_machine_bounds *machine, double makespan_ns)
{
    struct tgi_run_bounds b = {{path_ns, area_ns, machine->memory_ns, machine->links_ns}, makespan_ns, TGI_BOUND_PATH};
    for (int i = 1; i < TGI_N_BOUNDS; i++)
        if (b.ns[i] > b.ns[b.binding] && !tgi_run_bounds_is_beaten(&b, i)) /* false of what is not known */
            b.binding = (enum tgi_bound)i;
    return b;
}

double tgi_run_bounds_share(const struct tgi_run_bounds *b)
{
    return b->makespan_ns > 0 ? b->ns[b->binding] / b->makespan_ns : 1;
}

/* "memory and links"; returns how many. */
static int list(const struct tgi_run_bounds *b, bool is_missing, char *text, size_t size)
{
    size_t at = 0;
    int n = 0;
    text[0] = '\0';
    for (int i = 0; i < TGI_N_BOUNDS; i++)
        if ((is_missing ? isnan(b->ns[i]) : tgi_run_bounds_is_beaten(b, i)) && at < size)
            at += (size_t)snprintf(text + at, size - at, "%s%s", n++ ? " and " : "", tgi_bound_name((enum tgi_bound)i));
    return n;
}

void tgi_run_bounds_print(const struct tgi_run_bounds *b, FILE *to)
{
    char text[TGI_UNITS_SIZE], names[128];
    fprintf(to, "  lower bound   %10s   %.0f %% efficient; binding: %s   of", tgi_format_time(b->ns[b->binding], text, sizeof(text)),
            100 * tgi_run_bounds_share(b), tgi_bound_name(b->binding));
    for (int i = 0, n = 0; i < TGI_N_BOUNDS; i++)
        if (!isnan(b->ns[i]))
            fprintf(to, "%s %s %s", n++ ? "," : "", tgi_bound_name((enum tgi_bound)i), tgi_format_time(b->ns[i], text, sizeof(text)));
    fputc('\n', to);
    if (list(b, true, names, sizeof(names)))
        fprintf(to, "  bounds of %s are not known: there was no machine file (run --machine)\n", names);
    int n_beaten = list(b, false, names, sizeof(names));
    if (n_beaten)
        fprintf(to, "  the run beat the bound%s of %s: figures of the machine file are too low\n", n_beaten == 1 ? "" : "s", names);
}

void tgi_run_bounds_json(const struct tgi_run_bounds *b, struct tgi_json *json)
{
    static const char *const keys[] = {"critical_path_ns", "area_ns", "memory_ns", "links_ns"},
                             *const names[] = {"critical_path", "area", "memory", "links"};
    for (int i = 0; i < TGI_N_BOUNDS; i++)
        if (!isnan(b->ns[i]))
            tgi_json_uint(json, keys[i], (uint64_t)llround(b->ns[i]));
    tgi_json_string(json, "binding", names[b->binding]);
    tgi_json_double(json, "efficiency", tgi_run_bounds_share(b));
}
