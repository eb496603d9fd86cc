/* A client of a service: messages that a kernel which stays on the GPU mixes, as many under way as there is room for.
 *
 *     cc service.c -o service $(pkg-config --cflags --libs tgraph) && ./service
 *
 * Sending and receiving take turns: when the queue is full, answers are received until there is room again.  Where there is
 * no GPU the program says so and exits with 4. */
#include <inttypes.h>
#include <stdio.h>
#include <tgraph_service.h>

enum { N = 10000, NO_GPU = 4 };
static const uint64_t second = 1000000000;

/* What the body TG_SERVICE_MIX does with a word. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int receive(struct tg_service *service, uint64_t *n_wrong, struct tg_error *err)
{
    struct tg_service_answer answer;
    uint64_t word = 0;
    int rc = tg_service_receive(service, 10 * second, &answer, &word, sizeof word, err);
    if (rc == 0) /* message number i was the word i */
        *n_wrong += answer.status != 0 || word != mix(answer.ticket);
    return rc;
}

static int exchange(struct tg_service *service, uint64_t *n_wrong, struct tg_error *err)
{
    uint64_t n_received = 0, word = 0;
    int rc = 0;
    while (rc == 0 && word < N) {
        struct tg_service_message message = {TG_SERVICE_MIX, 0, &word, sizeof word};
        rc = tg_service_send(service, &message, NULL, err);
        if (rc == 0)
            word++;
        else if (rc == TG_E_FULL && (rc = receive(service, n_wrong, err)) == 0)
            n_received++;
    }
    while (rc == 0 && n_received < N && (rc = receive(service, n_wrong, err)) == 0)
        n_received++;
    return rc;
}

int main(void)
{
    struct tg_service *service;
    struct tg_service_metrics metrics;
    struct tg_error err;
    uint64_t n_wrong = 0;
    int rc = tg_service_create(NULL, &service, &err);
    if (rc == TG_E_NO_DEVICE || rc == TG_E_NO_LIBRARY) {
        printf("no GPU to stay on: %s\n", err.text);
        return NO_GPU;
    }
    if (rc) {
        fprintf(stderr, "service: %s\n", err.text);
        return 1;
    }
    rc = tg_service_launch(service, &err);
    if (rc == 0)
        rc = tg_service_activate(service, &err);
    if (rc == 0)
        rc = exchange(service, &n_wrong, &err);
    if (rc == 0)
        rc = tg_service_terminate(service, 10 * second, &err);
    if (rc == 0)
        rc = tg_service_metrics(service, &metrics, &err);
    if (rc == 0)
        printf("%" PRIu64 " messages answered, %" PRIu64 " wrong\n", metrics.n_answered, n_wrong);
    else
        fprintf(stderr, "service: %s\n", err.text);
    tg_service_destroy(service);
    return rc || n_wrong;
}
