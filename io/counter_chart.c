#include "io/counter_chart.h"

#include "graph/error.h"
#include "io/output.h"
#include "io/recording_counters.h"
#include "io/units.h"
#include "io/utf8.h"

#define WIDTH 1200.0
#define LEFT 150.0
#define RIGHT 24.0
#define TOP 74.0
#define STRIP 90.0
#define GAP 16.0

static void write_text(FILE *to, const char *text)
{
    for (int length; *text; text += length ? length : 1) {
        length = tgi_utf8_length(text);
        if (length == 0)
            fputs("\xef\xbf\xbd", to);
        else if (tgi_utf8_is_control(text) || (length == 3 && text[0] == '\xef' && text[1] == '\xbf' && (text[2] & 0x3e) == 0x3e))
            putc('?', to); /* U+FFFE and U+FFFF are no characters of XML either */
        else if (*text == '&' || *text == '<' || *text == '>')
            fprintf(to, "&#%d;", *text);
        else
            fwrite(text, 1, (size_t)length, to);
    }
}

static const char *format(const struct tgi_counter *c, double value, char *text)
{
    if (c->unit == TGI_COUNTS_BYTES)
        return tgi_format_bytes(value, text, TGI_UNITS_SIZE);
    return c->unit == TGI_COUNTS_RATE ? tgi_format_short(value, text, TGI_UNITS_SIZE)
                                      : tgi_format_count((uint64_t)value, text, TGI_UNITS_SIZE);
}

static void write_strip(const struct tgi_counter *c, double y, double last_ns, FILE *to)
{
    static const char *const fills[] = {"#8fb8de", "#c9b8de", "#a4cba0"};
    uint64_t most = 0;
    char text[TGI_UNITS_SIZE];
    for (uint32_t i = 0; i < c->n; i++)
        most = c->steps[i].value > most ? c->steps[i].value : most;
    double scale = (WIDTH - LEFT - RIGHT) / last_ns, height = most ? (STRIP - 4) / (double)most : 0;
    fprintf(to, "<rect x=\"%.0f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\" fill=\"#f6f6f6\"/>\n<text class=\"w\" x=\"%.0f\" y=\"%.1f\">",
            LEFT, y, WIDTH - LEFT - RIGHT, STRIP, LEFT - 8, y + STRIP / 2 - 4);
    write_text(to, c->name);
    fprintf(to, "</text><text class=\"w\" x=\"%.0f\" y=\"%.1f\" fill-opacity=\".6\">up to %s</text>\n", LEFT - 8, y + STRIP / 2 + 11,
            format(c, (double)most, text));
    fprintf(to, "<path fill=\"%s\" d=\"M%.2f %.2f", fills[c->unit], LEFT, y + STRIP);
    for (uint32_t i = 0; i < c->n; i++)
        fprintf(to, "H%.2fV%.2f", LEFT + scale * (double)c->steps[i].at_ns, y + STRIP - height * (double)c->steps[i].value);
    fprintf(to, "H%.2fV%.2fZ\"/>\n", WIDTH - RIGHT, y + STRIP);
}

static void write_axis(double last_ns, double bottom, FILE *to)
{
    char label[TGI_UNITS_SIZE];
    double step = tgi_round_step(last_ns);
    for (int i = 0; i * step <= last_ns; i++) {
        double x = LEFT + (WIDTH - LEFT - RIGHT) * i * step / last_ns;
        fprintf(to, "<line x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#d8d8d8\"/><text class=\"a\" x=\"%.1f\" y=\"%.0f\">%s</text>\n",
                x, TOP - 5, x, bottom, x, TOP - 10, i == 0 ? "0" : tgi_format_time(i * step, label, sizeof(label)));
    }
}

static void write_chart(const struct tgi_recording *r, const struct tgi_counters *counters, FILE *to)
{
    const char *title = tgi_recording_string(r, r->head.name);
    double last_ns = r->head.makespan_ns ? (double)r->head.makespan_ns : 1, bottom = TOP + counters->n * (STRIP + GAP);
    for (uint32_t i = 0; i < counters->n; i++)
        if (counters->counters[i].n && (double)counters->counters[i].steps[counters->counters[i].n - 1].at_ns > last_ns)
            last_ns = (double)counters->counters[i].steps[counters->counters[i].n - 1].at_ns;
    fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                "font-family=\"Helvetica,Arial,sans-serif\">\n<style>text{fill:#222;font-size:11px}.a{text-anchor:middle;fill:#666}"
                ".w{text-anchor:end}</style>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n"
                "<text x=\"%.0f\" y=\"26\" style=\"font-size:16px;font-weight:bold\">",
            WIDTH, bottom, WIDTH, bottom, WIDTH, bottom, LEFT);
    write_text(to, title[0] ? title : "graph");
    fprintf(to, "</text><text x=\"%.0f\" y=\"44\">what ran, what was ready and waited, and memory that tiles took</text>\n", LEFT);
    write_axis(last_ns, bottom - GAP, to);
    for (uint32_t i = 0; i < counters->n; i++)
        write_strip(&counters->counters[i], TOP + i * (STRIP + GAP), last_ns, to);
    fputs("</svg>\n", to);
}

int tgi_counter_chart_write(const struct tgi_recording *r, FILE *to, struct tg_error *err)
{
    struct tgi_counters counters;
    int rc = tgi_recording_counters_create(r, &counters, err);
    if (rc)
        return rc;
    write_chart(r, &counters, to);
    tgi_recording_counters_fini(&counters);
    return tgi_output_check(to, "the picture of a record", err);
}
