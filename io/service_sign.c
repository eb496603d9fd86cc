/* See service_sign.h.  Lines of unknown names are passed over, so that programs of different versions can look at each other; figures
 * that are not there are 0.  The last line says that nothing is missing. */
#include "io/service_sign.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char first_line[] = "tgraph-service 1\n", last_line[] = "end\n";

static const struct {
    const char *name;
    size_t at;
} figures[] = {
#define SIGN(field)   {#field, offsetof(struct tgi_service_sign, field)}
#define METRIC(field) {#field, offsetof(struct tgi_service_sign, metrics.field)}
    SIGN(pid), SIGN(device), SIGN(state), SIGN(is_resident), SIGN(n_blocks), SIGN(queue_capacity), SIGN(began_ns), SIGN(shown_ns),
    METRIC(n_sent), METRIC(n_answered), METRIC(n_failed), METRIC(n_full), METRIC(n_timeouts), METRIC(n_dropped), METRIC(n_late),
    METRIC(n_cancelled), METRIC(sent_bytes), METRIC(answered_bytes), METRIC(n_launches), METRIC(n_in_flight), METRIC(latency_sum_ns),
    METRIC(n_polls), METRIC(n_messages), METRIC(n_batches), METRIC(n_instances), METRIC(n_tasks), METRIC(n_waiting), METRIC(n_running),
    METRIC(up_ns), METRIC(busy_ns)
#undef METRIC
#undef SIGN
};
enum { N_FIGURES = sizeof figures / sizeof *figures };

/* The order of a client's line. */
static const size_t client_figures[] = {
#define CLIENT(field) offsetof(struct tg_service_client_metrics, field)
    CLIENT(weight), CLIENT(n_begun), CLIENT(n_waiting), CLIENT(n_running), CLIENT(n_late), CLIENT(n_cancelled), CLIENT(n_in_flight),
    CLIENT(used_ns)
#undef CLIENT
};
enum { N_CLIENT_FIGURES = sizeof client_figures / sizeof *client_figures };

static uint64_t *word_at(void *of, size_t at) { return (uint64_t *)((char *)of + at); }
static uint64_t value_at(const void *of, size_t at)
{
    uint64_t value;
    memcpy(&value, (const char *)of + at, sizeof value);
    return value;
}

void tgi_service_sign_write(FILE *to, const struct tgi_service_sign *sign)
{
    const struct tg_service_metrics *m = &sign->metrics;
    fputs(first_line, to);
    fputs("name ", to);
    for (const char *c = sign->name; *c; c++)
        fputc(*c == '\n' ? ' ' : *c, to);
    fputc('\n', to);
    for (size_t i = 0; i < N_FIGURES; i++)
        fprintf(to, "%s %" PRIu64 "\n", figures[i].name, value_at(sign, figures[i].at));
    fprintf(to, "n_teams %" PRIu32 "\nlatency", m->n_teams);
    for (uint32_t i = 0; i < TG_SERVICE_N_BUCKETS; i++)
        fprintf(to, " %" PRIu64, m->latency[i]);
    fputc('\n', to);
    for (uint32_t c = 0; c < m->n_clients; c++) {
        fputs("client", to);
        for (size_t i = 0; i < N_CLIENT_FIGURES; i++)
            fprintf(to, " %" PRIu64, value_at(&m->clients[c], client_figures[i]));
        fputc('\n', to);
    }
    fputs(last_line, to);
}

/* The next number of a line. */
static bool number(char **at, uint64_t *value_p)
{
    char *end;
    if (**at != ' ' || (*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *value_p = strtoull(*at, &end, 10);
    *at = end;
    return true;
}

static bool read_client(char *at, struct tg_service_metrics *m)
{
    if (m->n_clients == TG_SERVICE_MAX_CLIENTS)
        return false;
    struct tg_service_client_metrics *c = &m->clients[m->n_clients++];
    for (size_t i = 0; i < N_CLIENT_FIGURES; i++)
        if (!number(&at, word_at(c, client_figures[i])))
            return false;
    return true;
}

static bool read_latency(char *at, struct tg_service_metrics *m)
{
    for (uint32_t i = 0; i < TG_SERVICE_N_BUCKETS; i++)
        if (!number(&at, &m->latency[i]))
            return false;
    return true;
}

/* One line, without its end; `at` is behind its name. */
static bool read_line(const char *name, char *at, struct tgi_service_sign *sign)
{
    uint64_t value;
    if (strcmp(name, "latency") == 0)
        return read_latency(at, &sign->metrics);
    if (strcmp(name, "client") == 0)
        return read_client(at, &sign->metrics);
    if (strcmp(name, "n_teams") == 0) {
        bool is_right = number(&at, &value) && value <= UINT32_MAX;
        sign->metrics.n_teams = is_right ? (uint32_t)value : 0;
        return is_right;
    }
    for (size_t i = 0; i < N_FIGURES; i++)
        if (strcmp(name, figures[i].name) == 0)
            return number(&at, word_at(sign, figures[i].at));
    return true;
}

bool tgi_service_sign_read(FILE *from, struct tgi_service_sign *sign)
{
    char line[2048]; /* 64 numbers of 20 digits */
    memset(sign, 0, sizeof *sign);
    if (!fgets(line, sizeof line, from) || strcmp(line, first_line) != 0)
        return false;
    while (fgets(line, sizeof line, from)) {
        size_t n = strcspn(line, "\n");
        if (line[n] != '\n')
            return false;
        if (strcmp(line, last_line) == 0)
            return true;
        line[n] = '\0';
        if (strncmp(line, "name ", 5) == 0) {
            snprintf(sign->name, sizeof sign->name, "%.*s", (int)sizeof sign->name - 1, line + 5);
            continue;
        }
        size_t n_name = strcspn(line, " ");
        char name[32] = "";
        if (n_name < sizeof name)
            memcpy(name, line, n_name);
        if (!read_line(name, line + n_name, sign))
            return false;
    }
    return false;
}
