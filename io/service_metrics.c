/* See service_metrics.h.  Names and units follow Prometheus' conventions: base units, _total for counters. */
#include "io/service_metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

static uint64_t n_latencies(const struct tg_service_metrics *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < TG_SERVICE_N_BUCKETS; i++)
        n += m->latency[i];
    return n;
}

uint64_t tgi_service_quantile_ns(const struct tg_service_metrics *m, double fraction)
{
    uint64_t n = n_latencies(m), seen = 0;
    for (uint32_t i = 0; n && i < TG_SERVICE_N_BUCKETS; i++) {
        seen += m->latency[i];
        if ((double)seen >= fraction * (double)n)
            return tg_service_bucket_ns(i);
    }
    return 0;
}

void tgi_service_metrics_print(FILE *to, const struct tg_service_metrics *m)
{
    fprintf(to, "messages    %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " failed, %" PRIu64 " timed out, %" PRIu64 " refused\n",
            m->n_sent, m->n_answered, m->n_failed, m->n_timeouts, m->n_full);
    fprintf(to, "bytes       %" PRIu64 " sent, %" PRIu64 " answered\n", m->sent_bytes, m->answered_bytes);
    fprintf(to, "launches    %" PRIu64 "\n", m->n_launches);
    if (m->n_batches)
        fprintf(to, "kernel      %" PRIu64 " looks, %.3g messages at a time, %" PRIu64 " instances\n", m->n_polls,
                (double)m->n_messages / (double)m->n_batches, m->n_instances);
    if (m->n_answered)
        fprintf(to, "latency     mean %.1f us, half below %.1f us, 99 %% below %.1f us\n",
                (double)m->latency_sum_ns / (double)m->n_answered / 1e3, (double)tgi_service_quantile_ns(m, 0.5) / 1e3,
                (double)tgi_service_quantile_ns(m, 0.99) / 1e3);
}

static void put_counter(FILE *to, const char *name, const char *help, uint64_t value)
{
    fprintf(to, "# HELP tgraph_service_%s %s\n# TYPE tgraph_service_%s counter\ntgraph_service_%s %" PRIu64 "\n", name, help, name, name,
            value);
}

static const struct {
    const char *name, *type, *help;
    size_t at;
    bool is_ns;
} client_metrics[] = {
#define CLIENT(field) offsetof(struct tg_service_client_metrics, field)
    {"client_weight", "gauge", "Weight of a client.", CLIENT(weight), false},
    {"client_begun_total", "counter", "Instances of a client that were begun.", CLIENT(n_begun), false},
    {"client_waiting", "gauge", "Instances of a client that wait.", CLIENT(n_waiting), false},
    {"client_running", "gauge", "Instances of a client that are under way.", CLIENT(n_running), false},
    {"client_late_total", "counter", "Instances of a client that missed their deadlines.", CLIENT(n_late), false},
    {"client_cancelled_total", "counter", "Instances of a client that were cancelled.", CLIENT(n_cancelled), false},
    {"client_used_seconds_total", "counter", "Time of workers that a client's instances took.", CLIENT(used_ns), true},
#undef CLIENT
};

static void put_clients(FILE *to, const struct tg_service_metrics *m)
{
    for (size_t k = 0; m->n_clients && k < sizeof client_metrics / sizeof *client_metrics; k++) {
        const char *name = client_metrics[k].name;
        fprintf(to, "# HELP tgraph_service_%s %s\n# TYPE tgraph_service_%s %s\n", name, client_metrics[k].help, name,
                client_metrics[k].type);
        for (uint32_t i = 0; i < m->n_clients; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&m->clients[i] + client_metrics[k].at, sizeof value);
            fprintf(to, "tgraph_service_%s{client=\"%" PRIu32 "\"} ", name, i);
            if (client_metrics[k].is_ns)
                fprintf(to, "%.9g\n", (double)value / 1e9);
            else
                fprintf(to, "%" PRIu64 "\n", value);
        }
    }
}

static void put_histogram(FILE *to, const struct tg_service_metrics *m)
{
    uint64_t n = 0;
    fprintf(to, "# HELP tgraph_service_latency_seconds From sending a message until its answer was seen.\n"
                "# TYPE tgraph_service_latency_seconds histogram\n");
    for (uint32_t i = 0; i + 1 < TG_SERVICE_N_BUCKETS; i++) {
        n += m->latency[i];
        fprintf(to, "tgraph_service_latency_seconds_bucket{le=\"%.9g\"} %" PRIu64 "\n", (double)tg_service_bucket_ns(i) / 1e9, n);
    }
    n += m->latency[TG_SERVICE_N_BUCKETS - 1];
    fprintf(to, "tgraph_service_latency_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", n);
    fprintf(to, "tgraph_service_latency_seconds_sum %.9g\ntgraph_service_latency_seconds_count %" PRIu64 "\n",
            (double)m->latency_sum_ns / 1e9, n);
}

void tgi_service_metrics_prometheus(FILE *to, const struct tg_service_metrics *m)
{
    put_counter(to, "messages_sent_total", "Messages sent.", m->n_sent);
    put_counter(to, "messages_answered_total", "Answers seen.", m->n_answered);
    put_counter(to, "messages_failed_total", "Answers of bodies that failed or were stuck.", m->n_failed);
    put_counter(to, "messages_refused_total", "Messages for which the queue had no room.", m->n_full);
    put_counter(to, "calls_timed_out_total", "Calls that were not answered in time.", m->n_timeouts);
    put_counter(to, "sent_bytes_total", "Bytes of messages.", m->sent_bytes);
    put_counter(to, "answered_bytes_total", "Bytes of answers.", m->answered_bytes);
    put_counter(to, "launches_total", "Launches of the kernel.", m->n_launches);
    put_counter(to, "kernel_looks_total", "Looks of the kernel at its ring.", m->n_polls);
    put_counter(to, "kernel_batches_total", "Looks that found messages.", m->n_batches);
    put_counter(to, "instances_total", "Instances of programs that were begun.", m->n_instances);
    put_counter(to, "tasks_total", "Tasks of instances that have ended.", m->n_tasks);
    put_counter(to, "late_total", "Instances that missed their deadlines.", m->n_late);
    put_counter(to, "cancelled_total", "Instances that were cancelled.", m->n_cancelled);
    fprintf(to, "# HELP tgraph_service_messages_in_flight Messages sent whose answers have not been received.\n"
                "# TYPE tgraph_service_messages_in_flight gauge\ntgraph_service_messages_in_flight %" PRIu64 "\n",
            m->n_in_flight);
    put_clients(to, m);
    put_histogram(to, m);
}
