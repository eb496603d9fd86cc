#include "io/page.h"

#include "graph/sha256.h"
#include "graph/file_text.h"

TGI_FILE_TEXT(tgi_page_body, "io/html/report.html");
TGI_FILE_TEXT(tgi_page_style, "io/html/report.css");
TGI_FILE_TEXT(tgi_page_record, "io/html/record.js");
TGI_FILE_TEXT(tgi_page_schedule, "io/html/schedule.js");
TGI_FILE_TEXT(tgi_page_why, "io/html/why.js");
TGI_FILE_TEXT(tgi_page_tables, "io/html/tables.js");
TGI_FILE_TEXT(tgi_page_roofline, "io/html/roofline.js");
TGI_FILE_TEXT(tgi_page_report, "io/html/report.js");

struct piece {
    const char *text, *end;
};
#define PIECE(symbol) {symbol, symbol##_end}
static const struct piece style[] = {PIECE(tgi_page_style), {NULL, NULL}};
/* One script, in the order in which they need each other. */
static const struct piece script[] = {PIECE(tgi_page_record), PIECE(tgi_page_schedule), PIECE(tgi_page_why), PIECE(tgi_page_tables),
                                      PIECE(tgi_page_roofline), PIECE(tgi_page_report), {NULL, NULL}};

static void put_pieces(struct tgi_text *text, const struct piece *pieces)
{
    for (; pieces->text; pieces++)
        tgi_text_add(text, pieces->text, (size_t)(pieces->end - pieces->text));
}

/* 'sha256-..' of what stands between an element's tags, as a policy has it. */
static void put_hash(struct tgi_text *text, const struct piece *pieces)
{
    unsigned char digest[TGI_SHA256_BYTES];
    struct tgi_sha256 sha;
    tgi_sha256_init(&sha);
    for (; pieces->text; pieces++)
        tgi_sha256_add(&sha, pieces->text, (size_t)(pieces->end - pieces->text));
    tgi_sha256_finish(&sha, digest);
    tgi_text_str(text, "'sha256-");
    tgi_text_base64(text, digest, sizeof(digest));
    tgi_text_str(text, "'");
}

static void put_json(struct tgi_text *text, const char *json, size_t size)
{
    for (size_t i = 0, from = 0; i <= size; i++) {
        if (i < size && json[i] != '<' && json[i] != '>' && json[i] != '&')
            continue;
        tgi_text_add(text, json + from, i - from);
        if (i < size)
            tgi_text_printf(text, "\\u%04x", (unsigned)json[i]);
        from = i + 1;
    }
}

int tgi_page_write(const char *json, size_t size, FILE *to, struct tg_error *err)
{
    struct tgi_text text = {.to = to};
    tgi_text_str(&text, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src ");
    put_hash(&text, script);
    tgi_text_str(&text, "; style-src ");
    put_hash(&text, style);
    tgi_text_str(&text, "; base-uri 'none'; form-action 'none'\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>tgraph</title>\n<style>");
    put_pieces(&text, style);
    tgi_text_str(&text, "</style>\n</head>\n<body>\n");
    tgi_text_add(&text, tgi_page_body, (size_t)(tgi_page_body_end - tgi_page_body));
    tgi_text_str(&text, "<script type=\"application/json\" id=\"record\">");
    put_json(&text, json, size);
    tgi_text_str(&text, "</script>\n<script>");
    put_pieces(&text, script);
    tgi_text_str(&text, "</script>\n</body>\n</html>\n");
    int rc = tgi_text_finish(&text, err);
    tgi_text_fini(&text);
    return rc;
}
