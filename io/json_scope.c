/* Parameters, variables, and the numbers and texts that are computed from them. */
#include "io/json_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

/* ---- Names -------------------------------------------------------------------------------*/

static struct tgi_expr_name resolve(void *user, const char *name, size_t length)
{
    struct tgi_reader *r = user;
    struct tgi_expr_name found = {.kind = TGI_NAME_UNKNOWN};
    for (uint32_t k = r->n_vars; k > 0; k--) {
        const struct tgi_var *v = &r->vars[k - 1];
        if (v->length == length && memcmp(v->name, name, length) == 0) {
            found.kind = TGI_NAME_SLOT;
            found.slot = v->slot;
            r->resolved_slots |= (uint64_t)1 << v->slot;
            return found;
        }
    }
    uint32_t k = tgi_name_index_find(&r->params, name, length);
    if (k == UINT32_MAX)
        return found;
    struct tgi_param_value *value = &r->param_values[k];
    value->is_used = true;
    found.kind = value->is_float ? TGI_NAME_FLOAT : TGI_NAME_INT;
    found.i = value->i;
    found.f = value->f;
    return found;
}

/* Asking a driver takes long, and few files want to know. */
static uint32_t count_cuda(struct tgi_reader *r)
{
    if (r->options->count_cuda && !r->has_counted_cuda) {
        uint32_t n = r->options->count_cuda(r->options->user);
        r->n_cuda = n > r->n_cuda ? n : r->n_cuda;
        r->has_counted_cuda = true;
    }
    return r->n_cuda;
}

static int64_t count_devices(void *user, const char *kind, size_t length)
{
    struct tgi_reader *r = user;
    if (length == 4 && memcmp(kind, "cuda", 4) == 0)
        return count_cuda(r);
    if (length == 3 && memcmp(kind, "cpu", 3) == 0)
        return 1;
    return -1;
}

static struct tgi_expr_scope scope_of(struct tgi_reader *r)
{
    struct tgi_expr_scope scope = {resolve, count_devices, r, -1};
    return scope;
}

int tgi_push_var(struct tgi_reader *r, uint32_t node, const char *name, uint32_t length, uint32_t slot)
{
    if (r->n_vars == TGI_MAX_VARS || slot >= TGI_MAX_VARS)
        return tgi_report(r, node, NULL, TG_E_LIMIT, "more than %d variables at once", TGI_MAX_VARS);
    for (uint32_t k = 0; k < r->n_vars; k++)
        if (r->vars[k].length == length && memcmp(r->vars[k].name, name, length) == 0)
            return tgi_report(r, node, NULL, TG_E_DUPLICATE_NAME, "\"%.*s\" is a variable already",
                              length > 80 ? 80 : (int)length, name);
    r->vars[r->n_vars++] = (struct tgi_var){name, length, slot};
    return 0;
}

/* ---- Numbers ------------------------------------------------------------------------------*/

/* Suggestions for a name that an expression does not know. */
static const char *suggest_name(struct tgi_reader *r, const char *text, const struct tgi_expr_error *err,
                                char *help, size_t size)
{
    char name[80];
    const char *names[TGI_MAX_VARS + 8] = {"min",      "max",  "abs",    "ceildiv",
                                           "floordiv", "log2", "sizeof", "ndev"};
    char copies[TGI_MAX_VARS][64];
    uint32_t n = 8;
    if (err->length >= sizeof name)
        return NULL;
    memcpy(name, text + err->offset, err->length);
    name[err->length] = '\0';
    for (uint32_t k = 0; k < r->n_vars; k++)
        if (r->vars[k].length < sizeof copies[k]) {
            memcpy(copies[k], r->vars[k].name, r->vars[k].length);
            copies[k][r->vars[k].length] = '\0';
            names[n++] = copies[k];
        }
    const char *found = tgi_did_you_mean_list(names, n, name, help, size);
    bool may_be_param = strncmp(err->text, "unknown name", 12) == 0;
    return found != NULL || !may_be_param ? found : tgi_did_you_mean(&r->params, name, help, size);
}

static int report_expr(struct tgi_reader *r, uint32_t node, uint32_t offset, const char *text,
                       const struct tgi_expr_error *err)
{
    char help[320];
    struct tgi_remark remark = {.offset = offset + err->offset, .length = err->length};
    if (err->status == TG_E_UNKNOWN_NAME && text != NULL)
        remark.help = suggest_name(r, text, err, help, sizeof help);
    return tgi_report(r, node, &remark, err->status, "%s", err->text);
}

/* Most expressions are a literal or a single name; those need no program. */
static bool compile_simple(struct tgi_reader *r, const char *text, uint32_t length, struct tgi_number *number)
{
    uint32_t k = 0;
    if (length == 0 || length > 18)
        return false;
    if (text[0] >= '0' && text[0] <= '9') {
        int64_t value = 0;
        for (; k < length && text[k] >= '0' && text[k] <= '9'; k++)
            value = 10 * value + (text[k] - '0');
        number->kind = TGI_NUMBER_INT;
        number->u.i = value;
        return k == length;
    }
    while (k < length && ((text[k] >= 'a' && text[k] <= 'z') || (text[k] >= 'A' && text[k] <= 'Z') ||
                          text[k] == '_' || (text[k] >= '0' && text[k] <= '9')))
        k++;
    if (k < length)
        return false;
    r->resolved_slots = 0;
    struct tgi_expr_name name = resolve(r, text, length);
    if (name.kind == TGI_NAME_UNKNOWN)
        return false;
    number->kind = name.kind == TGI_NAME_SLOT  ? TGI_NUMBER_SLOT
                   : name.kind == TGI_NAME_INT ? TGI_NUMBER_INT
                                               : TGI_NUMBER_FLOAT;
    number->slots = r->resolved_slots;
    number->is_float = name.kind == TGI_NAME_FLOAT;
    if (name.kind == TGI_NAME_SLOT)
        number->u.slot = name.slot;
    else if (name.kind == TGI_NAME_INT)
        number->u.i = name.i;
    else
        number->u.f = name.f;
    return true;
}

int tgi_number_compile_text(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, uint32_t offset,
                            uint32_t length, struct tgi_number *number_p)
{
    const char *text = tgi_node_string(r, node) + offset;
    struct tgi_number number = {.node = node, .offset = offset, .length = length};
    if (compile_simple(r, text, length, &number)) {
        *number_p = number;
        return 0;
    }
    struct tgi_expr_scope scope = scope_of(r);
    struct tgi_expr_error err;
    struct tgi_expr *expr;
    r->resolved_slots = 0;
    if (tgi_expr_compile(text, length, &scope, &expr, &err) != 0)
        return report_expr(r, node, offset, text, &err);
    if (!tgi_json_pool_own(pool, expr))
        return tgi_report_memory(r);
    number.kind = TGI_NUMBER_EXPR;
    number.u.expr = expr;
    number.slots = r->resolved_slots;
    number.is_float = tgi_expr_is_float(expr);
    *number_p = number;
    return 0;
}

int tgi_number_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const char *what,
                       struct tgi_number *number_p)
{
    struct tgi_number number = {.node = node};
    switch (tgi_node_type(r, node)) {
    case TGI_TAPE_INT:
        number.kind = TGI_NUMBER_INT;
        if (!tgi_tape_int(&r->tape, node, &number.u.i))
            return tgi_report(r, node, NULL, TG_E_EXPR_VALUE, "%s: number does not fit in 64 bits", what);
        break;
    case TGI_TAPE_REAL:
        number.kind = TGI_NUMBER_FLOAT;
        number.is_float = true;
        if (!tgi_tape_double(&r->tape, node, &number.u.f))
            return tgi_report(r, node, NULL, TG_E_EXPR_VALUE, "%s: number does not fit a double", what);
        break;
    case TGI_TAPE_STRING:
        return tgi_number_compile_text(r, pool, node, 0, tgi_tape_count(&r->tape, node), number_p);
    default:
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "%s must be a number or an expression", what);
    }
    *number_p = number;
    return 0;
}

static int not_an_integer(struct tgi_reader *r, const struct tgi_number *number)
{
    struct tgi_remark remark = {.offset = number->offset, .length = number->length,
                                .help = "1e6 and 2.0 are floating-point; write 1000000, or -p N=1M on the command line"};
    return tgi_report(r, number->node, &remark, TG_E_EXPR_VALUE,
                      "floating-point number where an integer is needed");
}

int tgi_number_int_slow(struct tgi_reader *r, const struct tgi_number *number, int64_t *value_p)
{
    struct tgi_expr_error err;
    if ((number->slots & r->frame.float_slots) != 0 || number->kind != TGI_NUMBER_EXPR)
        return not_an_integer(r, number);
    if (tgi_expr_eval_int(number->u.expr, r->frame.i, value_p, &err) != 0)
        return report_expr(r, number->node, number->offset, NULL, &err);
    return 0;
}

int tgi_number_double(struct tgi_reader *r, const struct tgi_number *number, double *value_p)
{
    struct tgi_expr_error err;
    switch (number->kind) {
    case TGI_NUMBER_INT:
        *value_p = (double)number->u.i;
        return 0;
    case TGI_NUMBER_FLOAT:
        *value_p = number->u.f;
        return 0;
    case TGI_NUMBER_SLOT:
        *value_p = r->frame.f[number->u.slot];
        return 0;
    default:
        if (tgi_expr_eval_double(number->u.expr, r->frame.f, value_p, &err) != 0)
            return report_expr(r, number->node, number->offset, NULL, &err);
        return 0;
    }
}

int tgi_expr_keep(struct tgi_reader *r, uint32_t node, const char *what, struct tgi_expr **expr_p,
                  const char **text_p)
{
    const struct tgi_tape_node *n = &r->tape.nodes[node];
    const char *text = r->tape.text + n->at;
    uint32_t length = n->size;
    if (n->type == TGI_TAPE_STRING) {
        text = tgi_node_string(r, node);
        length = n->n;
    } else if (n->type != TGI_TAPE_INT && n->type != TGI_TAPE_REAL) {
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "%s must be a number or an expression", what);
    }
    struct tgi_expr_scope scope = scope_of(r);
    struct tgi_expr_error err;
    struct tgi_expr *expr;
    if (tgi_expr_compile(text, length, &scope, &expr, &err) != 0)
        return report_expr(r, node, 0, n->type == TGI_TAPE_STRING ? text : NULL, &err);
    const char *copy = tgi_arena_strndup(&r->graph->space->strings, text, length);
    if (copy == NULL) {
        tgi_expr_destroy(expr);
        return tgi_report_memory(r);
    }
    *expr_p = expr;
    *text_p = copy;
    return 0;
}

int tgi_take_int(struct tgi_reader *r, uint32_t node, const char *what, int64_t least, int64_t most,
                 int64_t *value_p)
{
    struct tgi_number number;
    int64_t value;
    int rc = tgi_number_compile(r, &r->scratch, node, what, &number);
    if (rc != 0 || (rc = tgi_number_int(r, &number, &value)) != 0)
        return rc;
    if (value < least || value > most)
        return tgi_report(r, node, NULL, TG_E_BAD_VALUE, "%s is %lld; allowed are %lld to %lld", what,
                          (long long)value, (long long)least, (long long)most);
    *value_p = value;
    return 0;
}

int tgi_take_double(struct tgi_reader *r, uint32_t node, const char *what, double *value_p)
{
    struct tgi_number number;
    int rc = tgi_number_compile(r, &r->scratch, node, what, &number);
    return rc != 0 ? rc : tgi_number_double(r, &number, value_p);
}

/* ---- Parameters ---------------------------------------------------------------------------*/

/* The text after '=' of the override of `name`, the last one given; NULL: none. */
static const char *find_override(const struct tgi_reader *r, const char *name)
{
    const char *found = NULL;
    size_t length = strlen(name);
    for (uint32_t k = 0; k < r->options->n_params; k++)
        if (strncmp(r->options->params[k], name, length) == 0 && r->options->params[k][length] == '=') {
            found = r->options->params[k] + length + 1;
            r->is_override_used[k] = true;
        }
    return found;
}

static int override_value(struct tgi_reader *r, const char *name, const char *text,
                          struct tgi_param_value *value)
{
    struct tgi_expr_scope scope = scope_of(r);
    struct tgi_expr_error err;
    struct tgi_expr *expr = NULL;
    int rc = tgi_expr_compile(text, strlen(text), &scope, &expr, &err);
    if (rc == 0) {
        value->is_float = tgi_expr_is_float(expr);
        rc = tgi_expr_eval_double(expr, NULL, &value->f, &err);
        if (!value->is_float)
            rc = tgi_expr_eval_int(expr, NULL, &value->i, &err);
        tgi_expr_destroy(expr);
    }
    if (rc != 0)
        return tgi_report_position(r, 0, 0, 0, NULL, rc, "-p %s=%s, character %u: %s", name, text, err.offset + 1,
                                   err.text);
    return 0;
}

static int param_value(struct tgi_reader *r, uint32_t node, struct tgi_param_value *value)
{
    struct tgi_number number;
    int rc = tgi_number_compile(r, &r->scratch, node, "a parameter", &number);
    if (rc != 0)
        return rc;
    value->is_float = number.is_float;
    if (number.is_float)
        return tgi_number_double(r, &number, &value->f);
    if ((rc = tgi_number_int(r, &number, &value->i)) == 0)
        value->f = (double)value->i;
    return rc;
}

static bool is_identifier(const char *s)
{
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_'))
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(s) &&
           strlen(s) <= TGI_MAX_NAME;
}

static int read_param(struct tgi_reader *r, uint32_t node)
{
    struct tgi_remark remark = {.is_key = true};
    struct tgi_param_value value = {0};
    const char *name = tgi_node_string(r, node - 1);
    if (!is_identifier(name))
        return tgi_report(r, node, &remark, TG_E_BAD_NAME, "\"%.100s\" cannot be the name of a parameter",
                          name);
    name = tgi_json_pool_strndup(&r->keep, name, strlen(name));
    if (name == NULL)
        return tgi_report_memory(r);
    const char *text = find_override(r, name);
    int rc = text != NULL ? override_value(r, name, text, &value) : param_value(r, node, &value);
    /* A parameter without a value still has its name, or every use would be one more error. */
    if (!tgi_vec_reserve(&r->param_values, &r->cap_params, (uint64_t)r->n_params + 1, sizeof value) ||
        !tgi_name_index_add(&r->params, name, strlen(name), r->n_params))
        return tgi_report_memory(r);
    value.site = tgi_reader_site(r, node);
    r->param_values[r->n_params++] = value;
    return rc;
}

static int check_overrides(struct tgi_reader *r)
{
    int result = 0;
    for (uint32_t k = 0; k < r->options->n_params && !tgi_reader_is_done(r); k++) {
        const char *text = r->options->params[k], *equals = strchr(text, '=');
        char help[320], name[TGI_MAX_NAME + 1];
        if (r->is_override_used[k])
            continue;
        snprintf(name, sizeof name, "%.*s", equals != NULL ? (int)(equals - text) : (int)strlen(text), text);
        if (equals == NULL)
            result = tgi_report_position(r, 0, 0, 0, "write NAME=EXPR", TG_E_USAGE, "-p %.200s: no '='",
                                         text);
        else
            result = tgi_report_position(r, 0, 0, 0, tgi_did_you_mean(&r->params, name, help, sizeof help),
                                         TG_E_UNKNOWN_NAME, "-p %.200s: the graph has no parameter \"%s\"",
                                         text, name);
    }
    return result;
}

int tgi_read_params(struct tgi_reader *r, uint32_t node)
{
    int result = 0;
    if (r->options->n_params > 0) {
        r->is_override_used = calloc(r->options->n_params, sizeof *r->is_override_used);
        if (r->is_override_used == NULL)
            return tgi_report_memory(r);
    }
    if (node != TGI_TAPE_ABSENT) {
        if ((result = tgi_expect(r, node, TGI_TAPE_OBJECT, "\"params\"")) != 0)
            return result;
        uint32_t key = node + 1;
        for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
            int rc = read_param(r, key + 1);
            result = rc != 0 ? rc : result;
            key = tgi_tape_next(&r->tape, key + 1);
        }
    }
    int rc = check_overrides(r);
    return rc != 0 ? rc : result;
}

/* ---- Patterns -----------------------------------------------------------------------------*/

/* The brace that closes the one at text[at]; `length` if there is none. */
static uint32_t find_brace(const char *text, uint32_t length, uint32_t at)
{
    while (at < length && text[at] != '}')
        at++;
    return at;
}

static int pattern_error(struct tgi_reader *r, uint32_t node, uint32_t at, const char *what)
{
    struct tgi_remark remark = {
        .offset = at, .length = 1, .help = "write {{ and }} for braces that are meant literally"};
    return tgi_report(r, node, &remark, TG_E_BAD_NAME, "%s", what);
}

static int pattern_parts(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                         struct tgi_pattern *pattern)
{
    const char *text = pattern->text;
    uint32_t begin = 0, at = 0, n_max = 1;
    for (uint32_t k = 0; k < pattern->length; k++)
        n_max += text[k] == '{' || text[k] == '}';
    pattern->parts = tgi_json_pool_alloc(pool, n_max * sizeof *pattern->parts);
    if (pattern->parts == NULL)
        return tgi_report_memory(r);
    while (at < pattern->length) {
        struct tgi_pattern_part *part = &pattern->parts[pattern->n_parts];
        if (text[at] != '{' && text[at] != '}') {
            at++;
            continue;
        }
        part->literal = text + begin;
        if (at + 1 < pattern->length && text[at + 1] == text[at]) {
            part->length = at + 1 - begin;
            begin = at += 2;
            pattern->n_parts++;
            continue;
        }
        if (text[at] == '}')
            return pattern_error(r, node, at, "'}' without '{'");
        uint32_t end = find_brace(text, pattern->length, at);
        if (end == pattern->length)
            return pattern_error(r, node, at, "'{' without '}'");
        part->length = at - begin;
        int rc = tgi_number_compile_text(r, pool, node, at + 1, end - at - 1, &part->number);
        if (rc != 0)
            return rc;
        begin = at = end + 1;
        pattern->n_parts++;
    }
    struct tgi_pattern_part *last = &pattern->parts[pattern->n_parts++];
    last->literal = text + begin;
    last->length = pattern->length - begin;
    return 0;
}

int tgi_pattern_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                        struct tgi_pattern *pattern_p)
{
    struct tgi_pattern pattern = {
        .node = node, .text = tgi_node_string(r, node), .length = tgi_tape_count(&r->tape, node)};
    if (memchr(pattern.text, '{', pattern.length) != NULL ||
        memchr(pattern.text, '}', pattern.length) != NULL) {
        int rc = pattern_parts(r, pool, node, &pattern);
        if (rc != 0)
            return rc;
    }
    *pattern_p = pattern;
    return 0;
}

static uint32_t format_int(int64_t value, char *text)
{
    char digits[24];
    uint32_t n = 0, used = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        text[used++] = '-';
    while (n > 0)
        text[used++] = digits[--n];
    return used;
}

static int pattern_too_long(struct tgi_reader *r, const struct tgi_pattern *pattern)
{
    return tgi_report(r, pattern->node, NULL, TG_E_BAD_NAME, "name is longer than %d bytes", TGI_MAX_NAME);
}

int tgi_pattern_write(struct tgi_reader *r, const struct tgi_pattern *pattern, char *text, uint32_t size,
                      uint32_t *used_p)
{
    uint32_t used = *used_p;
    if (pattern->n_parts == 0) {
        if (size - used <= pattern->length)
            return pattern_too_long(r, pattern);
        memcpy(text + used, pattern->text, pattern->length + 1);
        *used_p = used + pattern->length;
        return 0;
    }
    for (uint32_t k = 0; k < pattern->n_parts; k++) {
        const struct tgi_pattern_part *part = &pattern->parts[k];
        if (size - used <= part->length + 24)
            return pattern_too_long(r, pattern);
        memcpy(text + used, part->literal, part->length);
        used += part->length;
        if (part->number.kind != TGI_NUMBER_NONE) {
            int64_t value;
            int rc = tgi_number_int(r, &part->number, &value);
            if (rc != 0)
                return rc;
            used += format_int(value, text + used);
        }
    }
    text[used] = '\0';
    *used_p = used;
    return 0;
}

uint32_t tgi_find_colon(const char *text, uint32_t length)
{
    uint32_t depth = 0, n_conditions = 0;
    for (uint32_t k = 0; k < length; k++) {
        if (text[k] == '(')
            depth++;
        else if (text[k] == ')' && depth > 0)
            depth--;
        else if (text[k] == '?' && depth == 0)
            n_conditions++;
        else if (text[k] == ':' && depth == 0) {
            if (n_conditions == 0)
                return k;
            n_conditions--;
        }
    }
    return length;
}
