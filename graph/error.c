#include "graph/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *tg_status_text(int status)
{
    switch (status) {
    case TG_OK:
        return "ok";
#define STATUS_TEXT(name, number, exit_code, text) \
    case TG_E_##name:                              \
        return text;
        TG_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

int tg_status_exit_code(int status)
{
    switch (status) {
    case TG_OK:
        return 0;
#define STATUS_EXIT(name, number, exit_code, text) \
    case TG_E_##name:                              \
        return exit_code;
        TG_STATUS_MAP(STATUS_EXIT)
#undef STATUS_EXIT
    default:
        return 1;
    }
}

static void error_write(struct tg_error *err, int status, const char *format, va_list args)
{
    err->status = status;
    err->line = err->column = 0;
    err->file[0] = err->task[0] = '\0';
    vsnprintf(err->text, sizeof err->text, format, args);
}

int tgi_error(struct tg_error *err, int status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        error_write(err, status, format, args);
        va_end(args);
    }
    return status;
}

int tgi_error_memory(struct tg_error *err, const char *what)
{
    return tgi_error(err, TG_E_NO_MEMORY, "out of memory: %s", what);
}

int tgi_error_errno(struct tg_error *err, int status, int number, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        error_write(err, status, format, args);
        va_end(args);
        char answer[128];
        size_t used = strlen(err->text);
        /* The GNU variant: returns the text, which need not be in `answer`. */
        snprintf(err->text + used, sizeof err->text - used, ": %s", strerror_r(number, answer, sizeof answer));
    }
    return status;
}

int tgi_error_check_size(struct tg_error *err, const char *what, size_t size, size_t known)
{
    /* There is one version of each struct so far; a later one will accept the smaller sizes of this. */
    if (size == known)
        return 0;
    return tgi_error(err, TG_E_INVALID, "%s: its size is %zu, this library knows %zu; was it initialised with its _INIT macro?",
                     what, size, known);
}

void tgi_error_set_task(struct tg_error *err, const char *task)
{
    if (err)
        snprintf(err->task, sizeof err->task, "%s", task);
}

void tgi_error_set_position(struct tg_error *err, const char *file, uint32_t line, uint32_t column)
{
    if (err) {
        snprintf(err->file, sizeof err->file, "%s", file ? file : "");
        err->line = line;
        err->column = column;
    }
}
