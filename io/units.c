#include "io/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

char *tgi_format_count(uint64_t n, char *text, size_t size)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

/* Three significant digits, and all digits in front of the point. */
static int three_digits(char *text, size_t size, double value)
{
    double magnitude = fabs(value);
    int decimals = magnitude >= 99.95 || magnitude == 0 ? 0 : magnitude >= 9.995 ? 1 : 2;
    return snprintf(text, size, "%.*f", decimals, value);
}

static char *scaled(double value, double step, const char *const *prefixes, int n, const char *unit,
                    char *text, size_t size)
{
    int k = 0;
    while (k + 1 < n && fabs(value) >= step * 0.9995) {
        value /= step;
        k++;
    }
    int length = three_digits(text, size, value);
    if (length >= 0 && (size_t)length < size)
        snprintf(text + length, size - (size_t)length, "%s%s%s", unit[0] ? " " : "", prefixes[k], unit);
    return text;
}

char *tgi_format_time(double ns, char *text, size_t size)
{
    static const char *const units[] = {"n", "u", "m", ""};
    if (ns >= 600e9) {
        snprintf(text, size, "%.1f min", ns / 60e9);
        return text;
    }
    return scaled(ns, 1000, units, 4, "s", text, size);
}

char *tgi_format_bytes(double bytes, char *text, size_t size)
{
    static const char *const prefixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    if (bytes < 1024) {
        snprintf(text, size, "%.0f B", bytes);
        return text;
    }
    return scaled(bytes, 1024, prefixes, 6, "B", text, size);
}

static const char *const decimal[] = {"", "k", "M", "G", "T", "P"};

char *tgi_format_scaled(double value, const char *unit, char *text, size_t size)
{
    return scaled(value, 1000, decimal, 6, unit, text, size);
}

char *tgi_format_short(double value, char *text, size_t size)
{
    return scaled(value, 1000, decimal, 6, "", text, size);
}

char *tgi_format_exact(double value, char *text, size_t size)
{
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) {
        snprintf(text, size, "%lld", (long long)value);
        return text;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, size, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

double tgi_round_step(double span)
{
    static const double factors[] = {1, 2, 5};
    double decade = 1;
    for (int i = 0;; i++) {
        if (i > 0 && i % 3 == 0)
            decade *= 10;
        if (span / (factors[i % 3] * decade) <= 10)
            return factors[i % 3] * decade;
    }
}
