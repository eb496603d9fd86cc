#include "io/gen_parts.h"

#include <stdio.h>
#include <string.h>

/* Copies text in which backquotes enclose expressions.  A template keeps them for the reader: in
 * braces in an id, bare in a reference, as a string where a number is wanted. */
enum place { IN_ID, IN_REFERENCE, AS_NUMBER };
static void add_marked(struct tgi_text *out, const char *text, enum place place, bool is_lines)
{
    bool is_inside = false;
    for (const char *p = text; *p; p++) {
        if (*p != '`' || is_lines) {
            tgi_text_add(out, p, 1);
            continue;
        }
        is_inside = !is_inside;
        if (place == IN_ID)
            tgi_text_add(out, is_inside ? "{" : "}", 1);
        else if (place == AS_NUMBER)
            tgi_text_add(out, "\"", 1);
    }
}

static void add_string(struct tgi_text *out, const char *text, enum place place, bool is_lines)
{
    tgi_text_add(out, "\"", 1);
    add_marked(out, text, place, is_lines);
    tgi_text_add(out, "\"", 1);
}

/* A number that is an expression without marks. */
static void add_expression(struct tgi_text *out, const char *text, bool is_lines)
{
    bool is_literal = strspn(text, "0123456789") == strlen(text);
    const char *quote = is_literal ? "" : is_lines ? "`" : "\"";
    tgi_text_str(out, quote);
    tgi_text_str(out, text);
    tgi_text_str(out, quote);
}

static void add_spin_bytes(struct tgi_text *out, const struct tgi_gen_plan *plan, uint32_t n_in)
{
    for (uint32_t k = 0; k < n_in && plan->bytes > 0; k++)
        tgi_text_printf(out, ",\"in_bytes%u\":%llu", k, (unsigned long long)plan->bytes);
    /* At least a byte, so that results can be compared. */
    tgi_text_printf(out, ",\"out_bytes0\":%llu", (unsigned long long)(plan->bytes ? plan->bytes : 1));
}

/* The members "kernel" and "args" of a synthetic task up to its tiles, and what follows them. */
static void add_payload_head(struct tgi_text *out, const struct tgi_gen_plan *plan, uint32_t n_in)
{
    if (plan->payload == TGI_GEN_HASH)
        tgi_text_printf(out,
                        "\"kernel\":\"hash\",\"args\":{\"n\":%llu,\"id\":", (unsigned long long)plan->words);
    else if (plan->payload == TGI_GEN_SPIN)
        tgi_text_str(out, "\"kernel\":\"spin\",\"args\":{\"us\":");
    else
        tgi_text_printf(out, "\"kernel\":\"empty%u\",\"args\":{", n_in);
    if (plan->payload == TGI_GEN_SPIN)
        tgi_text_double(out, plan->us);
}

static const char *out_name(const struct tgi_gen_plan *plan)
{
    return plan->payload == TGI_GEN_HASH   ? ",\"out\":"
           : plan->payload == TGI_GEN_SPIN ? ",\"out0\":"
                                           : "\"out\":";
}

static void add_synthetic(struct tgi_text *out, const struct tgi_gen_plan *plan,
                          const struct tgi_gen_statement *s)
{
    uint32_t n_in = 0;
    bool is_lines = plan->options->is_lines;
    while (n_in < TGI_GEN_MAX_INPUTS && s->in[n_in])
        n_in++;
    add_payload_head(out, plan, n_in);
    if (plan->payload == TGI_GEN_HASH)
        add_expression(out, s->number, is_lines);
    tgi_text_str(out, out_name(plan));
    add_string(out, s->out, IN_REFERENCE, is_lines);
    for (uint32_t k = 0; k < n_in; k++) {
        tgi_text_printf(out, ",\"in%u\":", k);
        add_string(out, s->in[k], IN_REFERENCE, is_lines);
    }
    if (plan->payload == TGI_GEN_SPIN)
        add_spin_bytes(out, plan, n_in);
    tgi_text_str(out, "}");
}

static void add_real(struct tgi_text *out, const struct tgi_gen_statement *s, bool is_lines)
{
    tgi_text_printf(out, "\"kernel\":\"%s\",\"args\":{", s->kernel);
    for (uint32_t k = 0; s->args[k]; k += 2) {
        const char *value = s->args[k + 1];
        tgi_text_printf(out, "%s\"%s\":", k ? "," : "", s->args[k]);
        if (strchr(value, '['))
            add_string(out, value, IN_REFERENCE, is_lines);
        else
            add_marked(out, value, AS_NUMBER, is_lines);
    }
    tgi_text_str(out, "}");
    if (s->priority) {
        tgi_text_str(out, ",\"priority\":");
        add_expression(out, s->priority, is_lines);
    }
}

/* Members of a task object, without the braces around them. */
void tgi_gen_add_task_members(struct tgi_text *out, const struct tgi_gen_plan *plan,
                              const struct tgi_gen_statement *s)
{
    tgi_text_str(out, "\"id\":");
    add_string(out, s->id, IN_ID, plan->options->is_lines);
    tgi_text_str(out, ",");
    if (s->kernel)
        add_real(out, s, plan->options->is_lines);
    else
        add_synthetic(out, plan, s);
}

void tgi_gen_add_title(struct tgi_text *out, const struct tgi_gen_plan *plan)
{
    tgi_text_printf(out, ",\"name\":\"%s\",\"params\":{", plan->options->pattern);
    for (uint32_t i = 0; i < plan->n_params; i++)
        tgi_text_printf(out, "%s\"%s\":%lld", i ? "," : "", plan->params[i].name,
                        (long long)plan->params[i].value);
    tgi_text_str(out, "}");
}

/* Members of the one buffer. */
void tgi_gen_add_buffer(struct tgi_text *out, const struct tgi_gen_plan *plan)
{
    if (plan->is_factorisation)
        tgi_text_str(out, "\"dtype\":\"f64\",\"shape\":[\"B\",\"B\"]");
    else if (plan->payload == TGI_GEN_SPIN)
        tgi_text_printf(out, "\"dtype\":\"u8\",\"shape\":[%llu]",
                        (unsigned long long)(plan->bytes ? plan->bytes : 1));
    else
        tgi_text_printf(out, "\"dtype\":\"u64\",\"shape\":[%llu]", (unsigned long long)plan->words);
    tgi_text_printf(out, plan->tiles[1] ? ",\"tiles\":[\"%s\",\"%s\"]" : ",\"tiles\":[\"%s\"]",
                    plan->tiles[0], plan->tiles[1]);
    /* Tiles that nobody writes should not differ from run to run. */
    if (plan->payload == TGI_GEN_EMPTY || plan->is_sparse)
        tgi_text_str(out, ",\"init\":\"zero\"");
    if (plan->is_lower)
        tgi_text_str(out, ",\"only\":\"i >= j\"");
    if (plan->is_factorisation)
        tgi_text_str(out, ",\"init\":{\"spd\":{\"seed\":7}},\"home\":\"cyclic:{i+j}\"");
}

static void add_empty_kernel(struct tgi_text *out, uint32_t n_in)
{
    tgi_text_str(out, "\"params\":[{\"name\":\"out\",\"type\":\"u64*\",\"access\":\"out\"}");
    for (uint32_t k = 0; k < n_in; k++)
        tgi_text_printf(out, ",{\"name\":\"in%u\",\"type\":\"u64*\",\"access\":\"in\"}", k);
    tgi_text_printf(out, "],\"cost\":{\"us\":0},\"variants\":[{\"on\":\"cpu\",\"entry\":\"empty\",\"c\":\""
                         "int empty(void **args, const struct tg_context *ctx) { return 0; }"
                         "\"}]");
}

/* Kernels, each through `open` and `close`, whose %s is the name. */
void tgi_gen_add_kernels(struct tgi_text *out, const struct tgi_gen_plan *plan, const char *open,
                         const char *close)
{
    struct real {
        const char *name, *builtin, *flops, *bytes;
    };
    static const struct real cholesky[] = {{"potrf", "potrf_lower", "B*B*B/3", "16*B*B"},
                                           {"trsm", "trsm_rlt", "B*B*B", "24*B*B"},
                                           {"syrk", "syrk_lower", "B*B*B", "24*B*B"},
                                           {"gemm", "gemm_nt", "2*B*B*B", "32*B*B"},
                                           {NULL, NULL, NULL, NULL}};
    static const struct real lu[] = {{"getrf", "getrf_nopiv", "2*B*B*B/3", "16*B*B"},
                                     {"row", "trsm_lln", "B*B*B", "24*B*B"},
                                     {"column", "trsm_run", "B*B*B", "24*B*B"},
                                     {"gemm", "gemm_nn", "2*B*B*B", "32*B*B"},
                                     {NULL, NULL, NULL, NULL}};
    if (plan->is_factorisation) {
        for (const struct real *k = plan->is_lower ? cholesky : lu; k->name; k++) {
            tgi_text_printf(out, open, k->name);
            tgi_text_printf(out, "\"builtin\":\"%s\",\"cost\":{\"flops\":\"%s\",\"bytes\":\"%s\"}",
                            k->builtin, k->flops, k->bytes);
            tgi_text_str(out, close);
        }
    } else if (plan->payload == TGI_GEN_EMPTY) {
        for (uint32_t n_in = 0; n_in <= plan->max_inputs; n_in++) {
            bool is_used = plan->is_random;
            for (uint32_t i = 0; i < plan->n_statements; i++) {
                const struct tgi_gen_statement *s = &plan->statements[i];
                is_used |= !s->variable && (n_in == 0 || s->in[n_in - 1]) &&
                           (n_in == TGI_GEN_MAX_INPUTS || !s->in[n_in]);
            }
            if (!is_used)
                continue;
            char name[16];
            snprintf(name, sizeof(name), "empty%u", n_in);
            tgi_text_printf(out, open, name);
            add_empty_kernel(out, n_in);
            tgi_text_str(out, close);
        }
    } else {
        const char *name = plan->payload == TGI_GEN_HASH ? "hash" : "spin";
        tgi_text_printf(out, open, name);
        tgi_text_printf(out, "\"builtin\":\"%s\"", name);
        tgi_text_str(out, close);
    }
}

/* ---- Random -------------------------------------------------------------------------------*/

/* SplitMix64: one step of a Weyl sequence and its finaliser. */
static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Up to `want` different tasks before t; returns how many.  The last bits of bias that the modulo
 * leaves do not matter here. */
static uint32_t draw_inputs(uint64_t *state, uint64_t t, uint64_t window, uint32_t want, uint64_t *in)
{
    uint64_t reach = t < window ? t : window;
    uint32_t n = 0;
    while (n < want && n < reach) {
        uint64_t candidate = t - 1 - draw(state) % reach;
        uint32_t k = 0;
        while (k < n && in[k] != candidate)
            k++;
        if (k == n)
            in[n++] = candidate;
    }
    return n;
}

static void add_random_task(struct tgi_text *out, const struct tgi_gen_plan *plan, uint64_t t,
                            const uint64_t *in, uint32_t n)
{
    tgi_text_str(out, "\"id\":\"t[");
    tgi_text_uint(out, t);
    tgi_text_str(out, "]\",");
    add_payload_head(out, plan, n);
    if (plan->payload == TGI_GEN_HASH)
        tgi_text_uint(out, t);
    tgi_text_str(out, out_name(plan));
    tgi_text_str(out, "\"x[");
    tgi_text_uint(out, t);
    tgi_text_str(out, "]\"");
    for (uint32_t k = 0; k < n; k++) {
        tgi_text_str(out, ",\"in");
        tgi_text_uint(out, k);
        tgi_text_str(out, "\":\"x[");
        tgi_text_uint(out, in[k]);
        tgi_text_str(out, "]\"");
    }
    if (plan->payload == TGI_GEN_SPIN)
        add_spin_bytes(out, plan, n);
    tgi_text_str(out, "}");
}

void tgi_gen_add_random_tasks(struct tgi_text *out, const struct tgi_gen_plan *plan, const char *open,
                              const char *close, const char *between)
{
    uint64_t state = plan->options->seed, in[TGI_GEN_MAX_INPUTS];
    uint64_t window = plan->options->window ? plan->options->window : 1000;
    for (uint64_t t = 0; t < plan->n_tasks && !out->is_out_of_memory; t++) {
        uint32_t n = draw_inputs(&state, t, window, plan->max_inputs, in);
        if (t > 0)
            tgi_text_str(out, between);
        tgi_text_str(out, open);
        add_random_task(out, plan, t, in, n);
        tgi_text_str(out, close);
    }
}
