/* Plain JSON values: objects with known keys, booleans, words, names. */
#include "io/json_reader.h"

#include <stdio.h>
#include <string.h>

#include "graph/space.h"

static const char *const type_names[] = {"null",     "false",    "true",     "a number",
                                         "a number", "a string", "an array", "an object"};

int tgi_expect(struct tgi_reader *r, uint32_t node, enum tgi_tape_type type, const char *what)
{
    enum tgi_tape_type have = tgi_node_type(r, node);
    if (have == type)
        return 0;
    return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "%s must be %s, not %s", what, type_names[type],
                      type_names[have]);
}

static int unknown_key(struct tgi_reader *r, uint32_t value, const char *what, const char *const *keys,
                       uint32_t n)
{
    char help[320];
    const char *key = tgi_node_string(r, value - 1);
    struct tgi_remark remark = {.is_key = true};
    remark.help = tgi_did_you_mean_list(keys, n, key, help, sizeof help);
    return tgi_report(r, value, &remark, TG_E_UNKNOWN_KEY, "unknown key \"%.100s\" in %s", key, what);
}

int tgi_object_take(struct tgi_reader *r, uint32_t node, const char *what, const char *const *keys,
                    uint32_t n, uint32_t *values)
{
    int result = tgi_expect(r, node, TGI_TAPE_OBJECT, what);
    memset(values, 0, n * sizeof *values);
    if (result != 0)
        return result;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0; left--) {
        const char *name = tgi_node_string(r, key);
        uint32_t k = 0;
        while (k < n && (keys[k][0] != name[0] || strcmp(keys[k], name) != 0))
            k++;
        if (k < n)
            values[k] = key + 1;
        else if (name[0] != 'x' || name[1] != '-')
            result = unknown_key(r, key + 1, what, keys, n);
        if (tgi_reader_is_done(r))
            return result;
        key = tgi_tape_next(&r->tape, key + 1);
    }
    return result;
}

int tgi_take_bool(struct tgi_reader *r, uint32_t node, const char *what, bool *value_p)
{
    enum tgi_tape_type type = tgi_node_type(r, node);
    if (type != TGI_TAPE_TRUE && type != TGI_TAPE_FALSE)
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "%s must be true or false, not %s", what,
                          type_names[type]);
    *value_p = type == TGI_TAPE_TRUE;
    return 0;
}

int tgi_take_word(struct tgi_reader *r, uint32_t node, const char *what, const char *const *names, uint32_t n,
                  uint32_t *index_p)
{
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, what);
    if (rc != 0)
        return rc;
    const char *word = tgi_node_string(r, node);
    char list[256], help[512];
    size_t used = 0;
    list[0] = '\0';
    for (uint32_t k = 0; k < n; k++) {
        if (strcmp(names[k], word) == 0) {
            *index_p = k;
            return 0;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k > 0 ? ", " : "", names[k]);
    }
    struct tgi_remark remark = {0};
    if ((remark.help = tgi_did_you_mean_list(names, n, word, help, sizeof help)) == NULL) {
        snprintf(help, sizeof help, "one of %s", list);
        remark.help = help;
    }
    return tgi_report(r, node, &remark, TG_E_BAD_VALUE, "%s cannot be \"%.100s\"", what, word);
}

int tgi_check_name(struct tgi_reader *r, uint32_t node, const char *what, bool is_key, const char *name)
{
    struct tgi_remark remark = {.is_key = is_key};
    size_t length = strlen(name);
    if (!tgi_name_is_valid(name))
        return tgi_report(r, node, &remark, TG_E_BAD_NAME,
                          "%s needs a name of 1 to %d bytes without control characters", what, TGI_MAX_NAME);
    if (strpbrk(name, "[]{}@*:") != NULL || name[0] == ' ' || name[length - 1] == ' ')
        return tgi_report(
            r, node, &remark, TG_E_BAD_NAME,
            "\"%.100s\" is no name for %s: none of []{}@*: may occur, nor a space at either end", name, what);
    return 0;
}
