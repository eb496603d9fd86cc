/* A service that answers requests to two small neural networks, of a client that has many and of one that waits for each answer.
 *
 *     cc mlp_server.c -o mlp_server $(pkg-config --cflags --libs tgraph) && ./mlp_server
 *
 * A network is a program of the service: inputs, a hidden layer of ramps (ReLU), outputs.  Numbers are fixed-point, so each answer is
 * exactly what the host computes.  Tasks of a service are built-in ones: a product is a task of its own.  That shows how
 * programs, requests and clients go together, not how fast a GPU multiplies.
 *
 * Each client keeps a number of requests under way and sends the next when an answer comes.  Those of the second are urgent, so that
 * they pass by what waits of the first.  Where there is no GPU the program says so and exits with 4. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgraph_service.h>

enum { N_IN = 6, N_HIDDEN = 10, N_OUT = 3, N_MODELS = 2, N_CLIENTS = 2, N_REQUESTS = 2000, QUEUE = 256, NO_GPU = 4 };
static const uint64_t second = 1000000000;

/* Weights and inputs have 8 binary places, what hidden tasks hand on has 16, an answer 24. */
struct network {
    int64_t hidden[N_HIDDEN][N_IN], hidden_bias[N_HIDDEN], out[N_OUT][N_HIDDEN], out_bias[N_OUT];
};
struct request {
    uint32_t model, client;
    uint64_t x[N_IN];
};

static uint64_t dice = 1;
static int64_t small_number(void)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(dice >> 54) - 512; /* -2 to 2 */
}

static void make_network(struct network *n)
{
    for (int h = 0; h < N_HIDDEN; h++) {
        n->hidden_bias[h] = small_number() * 256;
        for (int i = 0; i < N_IN; i++)
            n->hidden[h][i] = small_number();
    }
    for (int o = 0; o < N_OUT; o++) {
        n->out_bias[o] = small_number() * 65536;
        for (int h = 0; h < N_HIDDEN; h++)
            n->out[o][h] = small_number();
    }
}

static void compute(const struct network *n, const uint64_t *x, int64_t *y)
{
    int64_t hidden[N_HIDDEN];
    for (int h = 0; h < N_HIDDEN; h++) {
        hidden[h] = n->hidden_bias[h];
        for (int i = 0; i < N_IN; i++)
            hidden[h] += n->hidden[h][i] * (int64_t)x[i];
        hidden[h] = hidden[h] < 0 ? 0 : hidden[h];
    }
    for (int o = 0; o < N_OUT; o++) {
        y[o] = n->out_bias[o];
        for (int h = 0; h < N_HIDDEN; h++)
            y[o] += n->out[o][h] * hidden[h];
    }
}

/* ---- The server ---------------------------------------------------------------------------*/

/* Task *to_p: `op` of the weighted sum of tasks. */
static int add_neuron(struct tg_service_program *p, enum tg_service_op op, const uint32_t *from, const int64_t *weight, uint32_t n,
                      int64_t bias, uint32_t *to_p, struct tg_error *err)
{
    uint32_t products[N_IN > N_HIDDEN ? N_IN : N_HIDDEN];
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = tg_service_program_add_task(p, TG_SERVICE_OP_SCALE, (uint64_t)weight[i], &from[i], 1, &products[i], err);
    return rc ? rc : tg_service_program_add_task(p, op, (uint64_t)bias, products, n, to_p, err);
}

static int add_layers(struct tg_service_program *p, const struct network *n, struct tg_error *err)
{
    uint32_t in[N_IN], hidden[N_HIDDEN], out;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < N_IN; i++)
        rc = tg_service_program_add_task(p, TG_SERVICE_OP_INPUT, i, NULL, 0, &in[i], err);
    for (uint32_t h = 0; rc == 0 && h < N_HIDDEN; h++)
        rc = add_neuron(p, TG_SERVICE_OP_RAMP, in, n->hidden[h], N_IN, n->hidden_bias[h], &hidden[h], err);
    for (uint32_t o = 0; rc == 0 && o < N_OUT; o++) {
        rc = add_neuron(p, TG_SERVICE_OP_SUM, hidden, n->out[o], N_HIDDEN, n->out_bias[o], &out, err);
        if (rc == 0)
            rc = tg_service_program_add_output(p, out, err);
    }
    return rc;
}

static int make_service(const struct network *networks, struct tg_service **service_p, struct tg_error *err)
{
    static const struct tg_service_client clients[N_CLIENTS] = {{1, 0, 0}, {1, 0, 0}};
    struct tg_service_options options = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_program *programs[N_MODELS] = {NULL};
    int rc = 0;
    for (int i = 0; rc == 0 && i < N_MODELS; i++) {
        rc = tg_service_program_create(N_IN, &programs[i], err);
        if (rc == 0)
            rc = add_layers(programs[i], &networks[i], err);
    }
    setup.programs = programs;
    setup.n_programs = N_MODELS;
    setup.clients = clients;
    setup.n_clients = N_CLIENTS;
    setup.n_teams = 2;
    setup.n_workers_each = 4;
    options.queue_capacity = QUEUE;
    options.setup = &setup;
    if (rc == 0)
        rc = tg_service_create(&options, service_p, err);
    for (int i = 0; i < N_MODELS; i++)
        tg_service_program_destroy(programs[i]);
    return rc;
}

/* ---- The clients --------------------------------------------------------------------------*/

struct client {
    uint32_t most_under_way, urgency;
    uint32_t n_under_way, n_answered;
    uint64_t latency_ns; /* of all answers together */
};

/* Requests that were sent, by ticket modulo the queue. */
static struct request sent[QUEUE];

static int send(struct tg_service *service, uint32_t client, uint32_t urgency, struct tg_error *err)
{
    struct request r = {(uint32_t)(small_number() & 1), client, {0}};
    struct tg_service_instance instance = {r.model, client, urgency, 0, r.x, NULL};
    uint64_t ticket;
    for (int i = 0; i < N_IN; i++)
        r.x[i] = (uint64_t)small_number();
    int rc = tg_service_submit(service, &instance, &ticket, err);
    if (rc == 0)
        sent[ticket % QUEUE] = r;
    return rc;
}

static int receive(struct tg_service *service, const struct network *networks, struct client *clients, uint64_t *n_wrong,
                   struct tg_error *err)
{
    struct tg_service_answer answer;
    int64_t got[N_OUT], want[N_OUT];
    int rc = tg_service_receive(service, 10 * second, &answer, got, sizeof got, err);
    if (rc)
        return rc;
    const struct request *r = &sent[answer.ticket % QUEUE];
    compute(&networks[r->model], r->x, want);
    clients[r->client].n_under_way--;
    clients[r->client].n_answered++;
    clients[r->client].latency_ns += answer.latency_ns;
    bool is_right = answer.status == 0;
    for (int o = 0; o < N_OUT; o++)
        is_right = is_right && got[o] == want[o];
    *n_wrong += !is_right;
    return 0;
}

/* Until N_REQUESTS have been answered; then what is still under way. */
static int exchange(struct tg_service *service, const struct network *networks, struct client *clients, uint64_t *n_wrong,
                    struct tg_error *err)
{
    int rc = 0;
    while (rc == 0 && clients[0].n_answered + clients[1].n_answered < N_REQUESTS) {
        for (uint32_t c = 0; rc == 0 && c < N_CLIENTS; c++)
            while (rc == 0 && clients[c].n_under_way < clients[c].most_under_way && (rc = send(service, c, clients[c].urgency, err)) == 0)
                clients[c].n_under_way++;
        if (rc == TG_E_FULL) /* the next place is of an instance that waits */
            rc = 0;
        if (rc == 0)
            rc = receive(service, networks, clients, n_wrong, err);
    }
    while (rc == 0 && clients[0].n_under_way + clients[1].n_under_way > 0)
        rc = receive(service, networks, clients, n_wrong, err);
    return rc;
}

int main(void)
{
    static struct network networks[N_MODELS];
    struct client clients[N_CLIENTS] = {{100, 0, 0, 0, 0}, {1, 3, 0, 0, 0}};
    struct tg_service *service;
    struct tg_error err;
    uint64_t n_wrong = 0;
    for (int i = 0; i < N_MODELS; i++)
        make_network(&networks[i]);
    int rc = make_service(networks, &service, &err);
    if (rc == TG_E_NO_DEVICE || rc == TG_E_NO_LIBRARY) {
        printf("no GPU to stay on: %s\n", err.text);
        return NO_GPU;
    }
    if (rc) {
        fprintf(stderr, "mlp_server: %s\n", err.text);
        return 1;
    }
    rc = tg_service_launch(service, &err);
    if (rc == 0)
        rc = tg_service_activate(service, &err);
    if (rc == 0)
        rc = exchange(service, networks, clients, &n_wrong, &err);
    if (rc == 0)
        rc = tg_service_terminate(service, 10 * second, &err);
    if (rc == 0)
        for (int c = 0; c < N_CLIENTS; c++)
            printf("client %d, %" PRIu32 " under way: %" PRIu32 " requests answered after %.1f us on average\n", c, clients[c].most_under_way,
                   clients[c].n_answered, (double)clients[c].latency_ns / 1e3 / (clients[c].n_answered ? clients[c].n_answered : 1));
    else
        fprintf(stderr, "mlp_server: %s\n", err.text);
    printf("%" PRIu64 " wrong\n", n_wrong);
    tg_service_destroy(service);
    return rc || n_wrong;
}
