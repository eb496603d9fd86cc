/* The loops of "for", compiled. */
#include "io/json_reader.h"

#include <string.h>

/* "m in k+1:NT" */
static int compile_loop(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, uint32_t slot,
                        struct tgi_loop *loop)
{
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "a loop");
    if (rc != 0)
        return rc;
    const char *text = tgi_node_string(r, node);
    uint32_t length = tgi_tape_count(&r->tape, node), at = 0;
    struct tgi_remark remark = {.help = "loops look like \"m in k+1:NT\"; the end is not included"};
    while (at < length && text[at] == ' ')
        at++;
    uint32_t name = at;
    while (at < length && tgi_is_name_char(text[at], at == name))
        at++;
    loop->node = node;
    loop->slot = slot;
    loop->weight = 1 + length / 64;
    loop->name = text + name;
    loop->name_length = at - name;
    while (at < length && text[at] == ' ')
        at++;
    if (loop->name_length == 0 || length - at < 3 || memcmp(text + at, "in", 2) != 0 ||
        tgi_is_name_char(text[at + 2], false))
        return tgi_report(r, node, &remark, TG_E_EXPR_SYNTAX, "malformed loop \"%.100s\"", text);
    at += 2;
    uint32_t colon = at + tgi_find_colon(text + at, length - at);
    if (colon == length)
        return tgi_report(r, node, &remark, TG_E_EXPR_SYNTAX,
                          "malformed loop \"%.100s\": no ':' between its bounds", text);
    while (at < colon && text[at] == ' ')
        at++;
    uint32_t end = colon;
    while (end > at && text[end - 1] == ' ')
        end--;
    if ((rc = tgi_number_compile_text(r, pool, node, at, end - at, &loop->begin)) != 0)
        return rc;
    for (at = colon + 1; at < length && text[at] == ' ';)
        at++;
    while (length > at && text[length - 1] == ' ')
        length--;
    if ((rc = tgi_number_compile_text(r, pool, node, at, length - at, &loop->end)) != 0)
        return rc;
    return tgi_push_var(r, node, loop->name, loop->name_length, slot);
}

int tgi_compile_loops(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t)
{
    bool is_single = tgi_node_type(r, node) == TGI_TAPE_STRING;
    if (!is_single && tgi_node_type(r, node) != TGI_TAPE_ARRAY)
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE,
                          "\"for\" must be a loop such as \"k in 0:NT\" or an array of loops");
    uint32_t n = is_single ? 1 : tgi_tape_count(&r->tape, node), item = is_single ? node : node + 1;
    if (n == 0)
        return tgi_report(r, node, NULL, TG_E_BAD_VALUE, "\"for\" has no loop");
    if (n > TGI_MAX_VARS)
        return tgi_report(r, node, NULL, TG_E_LIMIT, "more than %d loops", TGI_MAX_VARS);
    t->loops = tgi_json_pool_alloc(pool, n * sizeof *t->loops);
    if (t->loops == NULL)
        return tgi_report_memory(r);
    for (uint32_t k = 0; k < n; k++, item = tgi_tape_next(&r->tape, item)) {
        int rc = compile_loop(r, pool, item, r->n_vars, &t->loops[k]);
        if (rc != 0)
            return rc;
        t->n_loops++;
    }
    return 0;
}
