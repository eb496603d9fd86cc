/* A server that answers requests to two small neural networks, of a client that has many and of one that waits for each answer.
 *
 *     cc mlp_server.c -o mlp_server $(pkg-config --cflags --libs tgraph) -lm && ./mlp_server
 *
 * A network is a graph: a hidden layer of matrix-vector products and ramps (ReLU), some rows a task, then the outputs, then softmax.  It
 * becomes a program of a service: a request brings the inputs, the answer has the classes' probabilities.  Weights are no task's
 * to write, so they are on the GPU once.  The vectors that products are added to begin with the biases, in each instance.  The host
 * computes the same and compares.
 *
 * Each client keeps a number of requests under way and sends the next when an answer comes.  Those of the second are urgent, so that
 * they pass by what waits of the first.  Where there is no GPU, or no NVRTC to compile with, the program says so and exits with 4. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgraph_service.h>

enum { N_IN = 64, N_HIDDEN = 128, N_OUT = 12, ROWS = 8, OUT_ROWS = 3 }; /* the last two: of one task */
enum { N_MODELS = 2, N_CLIENTS = 2, N_REQUESTS = 2000, QUEUE = 256, NO_GPU = 4 };
static const uint64_t second = 1000000000;

struct network {
    float hidden[N_HIDDEN][N_IN], hidden_bias[N_HIDDEN], out[N_OUT][N_HIDDEN], out_bias[N_OUT];
};
struct request {
    uint32_t model, client;
    float x[N_IN];
};

static uint64_t dice = 1;
static uint32_t any(uint32_t n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(dice >> 33) % n;
}
static float small_number(void) { return (float)any(2001) / 1000 - 1; }

static void make_network(struct network *n)
{
    for (size_t i = 0; i < sizeof *n / sizeof(float); i++)
        ((float *)n)[i] = small_number() / 4;
}

static void compute(const struct network *n, const float *x, double *y)
{
    double hidden[N_HIDDEN], sum = 0;
    for (int h = 0; h < N_HIDDEN; h++) {
        hidden[h] = n->hidden_bias[h];
        for (int i = 0; i < N_IN; i++)
            hidden[h] += (double)n->hidden[h][i] * x[i];
        hidden[h] = hidden[h] < 0 ? 0 : hidden[h];
    }
    for (int o = 0; o < N_OUT; o++) {
        y[o] = n->out_bias[o];
        for (int h = 0; h < N_HIDDEN; h++)
            y[o] += n->out[o][h] * hidden[h];
        sum += y[o] = exp(y[o]);
    }
    for (int o = 0; o < N_OUT; o++)
        y[o] /= sum;
}

/* ---- A network as a graph -----------------------------------------------------------------*/

/* What is done goes on until something fails. */
struct builder {
    struct tg_graph *graph;
    struct tg_error *err;
    int rc;
};

/* host: what it begins with; NULL: a task writes it first, or a request brings it. */
static tg_buffer_id add_buffer(struct builder *b, const char *name, int64_t n_elems, int64_t n_tiles, const float *host)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id = 0;
    spec.name = name;
    spec.n_dims = spec.n_tile_dims = 1;
    spec.shape[0] = n_elems;
    spec.tiles[0] = n_tiles;
    spec.host = (void *)(uintptr_t)host;
    b->rc = b->rc ? b->rc : tg_graph_add_buffer(b->graph, &spec, &id, b->err);
    return id;
}

static tg_kernel_id add_kernel(struct builder *b, const char *name)
{
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id = 0;
    spec.name = spec.builtin = name;
    b->rc = b->rc ? b->rc : tg_graph_add_kernel(b->graph, &spec, &id, b->err);
    return id;
}

static void add_task(struct builder *b, tg_kernel_id kernel, const struct tg_arg *args, uint32_t n_args)
{
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = kernel;
    spec.args = args;
    spec.n_args = n_args;
    b->rc = b->rc ? b->rc : tg_graph_add_task(b->graph, &spec, NULL, b->err);
}

static int make_program(const struct network *n, struct tg_graph **graph_p, struct tg_service_program **program_p, struct tg_error *err)
{
    struct builder b = {NULL, err, tg_graph_create("mlp", graph_p, err)};
    b.graph = *graph_p;
    if (b.rc)
        return b.rc;
    tg_buffer_id x = add_buffer(&b, "x", N_IN, 1, NULL), y = add_buffer(&b, "y", N_OUT, 1, NULL);
    tg_buffer_id hidden = add_buffer(&b, "hidden", N_HIDDEN, 1, n->hidden_bias), ramp = add_buffer(&b, "ramp", N_HIDDEN, 1, NULL);
    tg_buffer_id out = add_buffer(&b, "out", N_OUT, 1, n->out_bias);
    tg_buffer_id w1 = add_buffer(&b, "w1", ROWS * N_IN, N_HIDDEN / ROWS, n->hidden[0]);
    tg_buffer_id w2 = add_buffer(&b, "w2", OUT_ROWS * N_HIDDEN, N_OUT / OUT_ROWS, n->out[0]);
    tg_kernel_id matvec = add_kernel(&b, "matvec_add"), relu = add_kernel(&b, "relu"), softmax = add_kernel(&b, "softmax");
    for (uint32_t i = 0; i < N_HIDDEN / ROWS; i++) {
        struct tg_arg rows = tg_arg_rows(hidden, 0, i * ROWS, (i + 1) * ROWS);
        struct tg_arg product[] = {tg_arg_int(ROWS), tg_arg_int(N_IN), tg_arg_tile(w1, i), tg_arg_tile(x, 0), rows};
        struct tg_arg above[] = {tg_arg_int(ROWS), rows, tg_arg_rows(ramp, 0, i * ROWS, (i + 1) * ROWS)};
        add_task(&b, matvec, product, 5);
        add_task(&b, relu, above, 3);
    }
    for (uint32_t i = 0; i < N_OUT / OUT_ROWS; i++) {
        struct tg_arg rows = tg_arg_rows(out, 0, i * OUT_ROWS, (i + 1) * OUT_ROWS);
        struct tg_arg product[] = {tg_arg_int(OUT_ROWS), tg_arg_int(N_HIDDEN), tg_arg_tile(w2, i), tg_arg_tile(ramp, 0), rows};
        add_task(&b, matvec, product, 5);
    }
    struct tg_arg share[] = {tg_arg_int(1), tg_arg_int(N_OUT), tg_arg_tile(out, 0), tg_arg_tile(y, 0)};
    add_task(&b, softmax, share, 4);
    if (b.rc == 0)
        b.rc = tg_graph_freeze(b.graph, err);
    return b.rc ? b.rc : tg_service_program_of_graph(b.graph, &x, 1, &y, 1, program_p, err);
}

static int make_service(const struct network *networks, struct tg_service **service_p, struct tg_error *err)
{
    static const struct tg_service_client clients[N_CLIENTS] = {{1, 0, 0}, {1, 0, 0}};
    struct tg_service_options options = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_program *programs[N_MODELS] = {NULL};
    struct tg_graph *graphs[N_MODELS] = {NULL};
    int rc = 0;
    for (int i = 0; rc == 0 && i < N_MODELS; i++)
        rc = make_program(&networks[i], &graphs[i], &programs[i], err);
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
    for (int i = 0; i < N_MODELS; i++) {
        tg_service_program_destroy(programs[i]);
        tg_graph_destroy(graphs[i]);
    }
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
    struct request r = {any(N_MODELS), client, {0}};
    struct tg_service_instance instance = {.program = r.model, .client = client, .urgency = urgency, .data = r.x};
    uint64_t ticket;
    for (int i = 0; i < N_IN; i++)
        r.x[i] = small_number();
    int rc = tg_service_submit(service, &instance, &ticket, err);
    if (rc == 0)
        sent[ticket % QUEUE] = r;
    return rc;
}

static int receive(struct tg_service *service, const struct network *networks, struct client *clients, uint64_t *n_wrong,
                   struct tg_error *err)
{
    struct tg_service_answer answer;
    float got[N_OUT]; /* 48 bytes: nothing to fill up */
    double want[N_OUT];
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
        is_right = is_right && fabs(got[o] - want[o]) < 1e-5;
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
