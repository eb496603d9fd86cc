/* tgraph explain: a diagnostic at length. */
#include "io/cli/explain.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"

#define WIDTH 88

/* "UNKNOWN_KERNEL" as "unknown-kernel". */
static void dashed(const char *name, char *text, size_t size)
{
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++)
        text[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    text[i] = '\0';
}

/* "TG0203", "tg203", "203", "-203", "unknown-kernel", "UNKNOWN_KERNEL". */
static const struct tgi_explanation *find(const char *code)
{
    char wanted[64], name[64];
    char *end;
    const char *digits = strncasecmp(code, "TG", 2) == 0 ? code + 2 : code;
    long number = strtol(digits, &end, 10);
    bool is_number = isdigit((unsigned char)digits[digits[0] == '-']) && *end == '\0';
    dashed(strncasecmp(code, "TG_E_", 5) == 0 ? code + 5 : code, wanted, sizeof(wanted));
    for (const struct tgi_explanation *e = tgi_explanations; e->status; e++) {
        dashed(e->name, name, sizeof(name));
        if (is_number ? labs(number) == -e->status : strcmp(name, wanted) == 0)
            return e;
    }
    return NULL;
}

static void print_paragraph(const char *text)
{
    int column = 0;
    while (*text) {
        while (*text == ' ')
            text++;
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column += printf("%s%.*s", column > 0 ? " " : "", length, text);
        text += length;
    }
    putchar('\n');
}

static void print_text(const struct tgi_explanation *e)
{
    char name[64];
    dashed(e->name, name, sizeof(name));
    printf("TG%04d %s: %s (exit code %d)\n\n", -e->status, name, tg_status_text(e->status),
           tg_status_exit_code(e->status));
    print_paragraph(e->meaning);
    if (e->example) {
        printf("\nexample:\n");
        for (const char *line = e->example; *line;) {
            int length = (int)strcspn(line, "\n");
            printf("    %.*s\n", length, line);
            line += length + (line[length] == '\n');
        }
    }
    printf("\nfix: ");
    print_paragraph(e->fix);
}

static void put_json(struct tgi_json *json, const struct tgi_explanation *e)
{
    char code[16], name[64];
    snprintf(code, sizeof(code), "TG%04d", -e->status);
    dashed(e->name, name, sizeof(name));
    tgi_json_object(json, NULL);
    tgi_json_string(json, "code", code);
    tgi_json_string(json, "name", name);
    tgi_json_string(json, "text", tg_status_text(e->status));
    tgi_json_int(json, "exit_code", tg_status_exit_code(e->status));
    tgi_json_string(json, "meaning", e->meaning);
    tgi_json_string(json, "example", e->example);
    tgi_json_string(json, "fix", e->fix);
    tgi_json_end(json);
}

static void print_list(void)
{
    char name[64];
    for (const struct tgi_explanation *e = tgi_explanations; e->status; e++) {
        dashed(e->name, name, sizeof(name));
        printf("TG%04d  %-18s %s\n", -e->status, name, tg_status_text(e->status));
    }
}

static const struct tgi_explanation *operand(const struct tgi_cli *cli, uint32_t i)
{
    return find(cli->operands[i]);
}

int tgi_cli_explain(struct tgi_cli *cli)
{
    bool lists = tgi_cli_has(cli, "list") || cli->n_operands == 0;
    for (uint32_t i = 0; i < cli->n_operands; i++) {
        if (!operand(cli, i))
            return tgi_cli_usage(cli, "there is no code \"%s\"; tgraph explain --list shows all",
                                 cli->operands[i]);
    }
    if (cli->format == TGI_FORMAT_JSON) {
        struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "explain");
        tgi_json_array(&json, "codes");
        if (lists) {
            for (const struct tgi_explanation *e = tgi_explanations; e->status; e++)
                put_json(&json, e);
        } else {
            for (uint32_t i = 0; i < cli->n_operands; i++)
                put_json(&json, operand(cli, i));
        }
        tgi_json_end(&json);
        tgi_json_end(&json);
    } else if (lists) {
        print_list();
    } else {
        for (uint32_t i = 0; i < cli->n_operands; i++) {
            if (i > 0)
                putchar('\n');
            print_text(operand(cli, i));
        }
    }
    return TGI_EXIT_OK;
}
