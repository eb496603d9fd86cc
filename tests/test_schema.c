/* The shipped JSON Schema accepts every example and every valid case, and refuses what the reader
 * refuses for its structure.  The validator here knows the keywords that the schema uses, and fails
 * on any other. */
#include "io/schema.h"

#include <glob.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "graph/tgraph.h"

static json_t *schema;

static bool is_valid(const json_t *rule, const json_t *value);

static bool has_type(const json_t *value, const char *type)
{
    if (strcmp(type, "object") == 0)
        return json_is_object(value);
    if (strcmp(type, "array") == 0)
        return json_is_array(value);
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "integer") == 0)
        return json_is_integer(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    if (strcmp(type, "null") == 0)
        return json_is_null(value);
    fail_msg("the schema has type %s", type);
    return false;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return rc == 0;
}

static const json_t *resolve(const char *reference)
{
    const json_t *at = schema;
    char part[64];
    assert_memory_equal(reference, "#/", 2);
    for (const char *s = reference + 1; *s == '/'; s += 1 + strlen(part)) {
        size_t n = strcspn(s + 1, "/");
        assert_true(n < sizeof part);
        memcpy(part, s + 1, n);
        part[n] = '\0';
        at = json_object_get(at, part);
        if (at == NULL)
            fail_msg("%s leads nowhere", reference);
    }
    return at;
}

static bool are_members_valid(const json_t *rule, const json_t *value)
{
    const json_t *properties = json_object_get(rule, "properties"),
                 *patterns = json_object_get(rule, "patternProperties");
    const json_t *others = json_object_get(rule, "additionalProperties");
    const char *key, *pattern;
    json_t *member, *one;
    json_object_foreach((json_t *)value, key, member)
    {
        const json_t *own = json_object_get(properties, key);
        bool is_known = own != NULL;
        if (own != NULL && !is_valid(own, member))
            return false;
        json_object_foreach((json_t *)patterns, pattern, one) if (matches(key, pattern))
        {
            is_known = true;
            if (!is_valid(one, member))
                return false;
        }
        if (!is_known && others != NULL && !is_valid(others, member))
            return false;
    }
    return true;
}

static bool is_any_valid(const json_t *rules, const json_t *value)
{
    for (size_t k = 0; k < json_array_size(rules); k++)
        if (is_valid(json_array_get(rules, k), value))
            return true;
    return false;
}

static bool is_keyword_valid(const json_t *rule, const char *keyword, const json_t *argument,
                             const json_t *value)
{
    if (strcmp(keyword, "type") == 0)
        return has_type(value, json_string_value(argument));
    if (strcmp(keyword, "$ref") == 0)
        return is_valid(resolve(json_string_value(argument)), value);
    if (strcmp(keyword, "anyOf") == 0)
        return is_any_valid(argument, value);
    if (strcmp(keyword, "const") == 0)
        return json_equal(argument, value);
    if (strcmp(keyword, "enum") == 0) {
        for (size_t k = 0; k < json_array_size(argument); k++)
            if (json_equal(json_array_get(argument, k), value))
                return true;
        return false;
    }
    if (strcmp(keyword, "pattern") == 0)
        return !json_is_string(value) || matches(json_string_value(value), json_string_value(argument));
    if (strcmp(keyword, "minItems") == 0)
        return !json_is_array(value) || (json_int_t)json_array_size(value) >= json_integer_value(argument);
    if (strcmp(keyword, "maxItems") == 0)
        return !json_is_array(value) || (json_int_t)json_array_size(value) <= json_integer_value(argument);
    if (strcmp(keyword, "required") == 0) {
        for (size_t k = 0; json_is_object(value) && k < json_array_size(argument); k++)
            if (json_object_get(value, json_string_value(json_array_get(argument, k))) == NULL)
                return false;
        return true;
    }
    if (strcmp(keyword, "items") == 0) {
        for (size_t k = 0; k < json_array_size(value); k++)
            if (!is_valid(argument, json_array_get(value, k)))
                return false;
        return true;
    }
    if (strcmp(keyword, "additionalProperties") == 0)
        return !json_is_object(value) || are_members_valid(rule, value);
    static const char *const remarks[] = {
        "properties", "patternProperties", "description", "title", "$schema", "$id", "$defs"};
    for (size_t k = 0; k < sizeof remarks / sizeof *remarks; k++)
        if (strcmp(keyword, remarks[k]) == 0)
            return true; /* the first two go with additionalProperties */
    fail_msg("the schema has the keyword %s", keyword);
    return false;
}

static bool is_valid(const json_t *rule, const json_t *value)
{
    const char *keyword;
    json_t *argument;
    if (json_is_boolean(rule))
        return json_is_true(rule);
    assert_true(json_is_object(rule));
    if (json_object_get(rule, "properties") != NULL)
        assert_non_null(json_object_get(rule, "additionalProperties"));
    json_object_foreach((json_t *)rule, keyword,
                        argument) if (!is_keyword_valid(rule, keyword, argument, value)) return false;
    return true;
}

static bool is_file_valid(const char *path)
{
    json_error_t why;
    json_t *value = json_load_file(path, 0, &why);
    if (value == NULL)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    bool valid = is_valid(schema, value);
    json_decref(value);
    return valid;
}

static uint32_t check_files(const char *pattern, bool want)
{
    glob_t found;
    uint32_t n_bad = 0;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t k = 0; k < found.gl_pathc; k++)
        if (is_file_valid(found.gl_pathv[k]) != want) {
            print_message("%s: %s\n", found.gl_pathv[k], want ? "refused" : "accepted");
            n_bad++;
        }
    uint32_t n = (uint32_t)found.gl_pathc;
    globfree(&found);
    assert_int_equal(n_bad, 0);
    return n;
}

static void every_example_follows_the_schema(void **state)
{
    (void)state;
    assert_true(check_files("examples/graphs/*.json", true) >= 10);
}

static void every_valid_case_follows_the_schema(void **state)
{
    (void)state;
    assert_true(check_files("tests/valid/*/input.json", true) >= 20);
}

static void every_line_of_a_stream_follows_the_schema(void **state)
{
    (void)state;
    static const char *const paths[] = {"tests/valid/lines/input.jsonl",
                                        "tests/valid/lines-override/input.jsonl"};
    for (size_t k = 0; k < 2; k++) {
        char line[4096];
        FILE *f = fopen(paths[k], "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f) != NULL) {
            json_t *value = json_loads(line, 0, NULL);
            assert_non_null(value);
            if (!is_valid(resolve("#/$defs/line"), value))
                fail_msg("%s: refused: %s", paths[k], line);
            json_decref(value);
        }
        fclose(f);
    }
}

static void structural_mistakes_violate_the_schema(void **state)
{
    (void)state;
    static const char *const cases[] = {"root-is-array",
                                        "no-version",
                                        "version-2",
                                        "version-is-number",
                                        "no-tasks",
                                        "unknown-top-key",
                                        "deps-unknown",
                                        "tasks-is-object",
                                        "buffer-unknown-key",
                                        "buffer-no-shape",
                                        "buffer-unknown-dtype",
                                        "buffer-too-many-dims",
                                        "buffer-bad-init",
                                        "buffer-two-inits",
                                        "param-wrong-type",
                                        "kernel-unknown-key",
                                        "kernel-no-variants",
                                        "kernel-bad-access",
                                        "kernel-variant-mixed-keys",
                                        "task-no-verb",
                                        "task-two-verbs",
                                        "task-unknown-key",
                                        "task-key-of-other-verb",
                                        "fill-no-value",
                                        "collective-unknown",
                                        "while-without-max",
                                        "loop-malformed",
                                        "stream-key-in-document"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char path[128];
        snprintf(path, sizeof path, "tests/invalid/%s/input.json", cases[k]);
        check_files(path, false);
    }
}

static int parse_schema(void **state)
{
    (void)state;
    json_error_t why;
    schema = json_loads(tgi_schema_text, JSON_REJECT_DUPLICATES, &why);
    if (schema == NULL)
        print_message("%d:%d: %s\n", why.line, why.column, why.text);
    return schema != NULL ? 0 : -1;
}

static int free_schema(void **state)
{
    (void)state;
    json_decref(schema);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_follows_the_schema),
        cmocka_unit_test(every_valid_case_follows_the_schema),
        cmocka_unit_test(every_line_of_a_stream_follows_the_schema),
        cmocka_unit_test(structural_mistakes_violate_the_schema),
    };
    return cmocka_run_group_tests(tests, parse_schema, free_schema);
}
