/* The API of the stand-in NVRTC: programs, options and results. */
#include "tests/standin/nvrtc.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/standin/nvrtc_internal.h"

#define EXPORT_X(type, name, params) __attribute__((visibility("default"))) type name params;
NVRTC_FUNCTIONS(EXPORT_X)

static const int archs[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
enum { N_ARCHS = sizeof archs / sizeof *archs };
static atomic_uint n_compiled; /* relaxed: a count */

bool names_add(struct names *names, const char *text, size_t length)
{
    char **more = realloc(names->text, (names->n + 1) * sizeof *more);
    if (!more)
        return false;
    names->text = more;
    more[names->n] = strndup(text, length);
    return more[names->n] ? ++names->n : false;
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->text[i]);
    free(names->text);
    *names = (struct names){0};
}

/* Set while no other thread calls. */
static struct {
    char call[32];
    unsigned left;
    nvrtcResult code;
    bool has_failed;
} failure;

void standin_nvrtc_fail(const char *call, unsigned nth, nvrtcResult code)
{
    snprintf(failure.call, sizeof failure.call, "%s", call);
    failure.left = code ? nth : 0;
    failure.code = code;
    failure.has_failed = false;
}

bool standin_nvrtc_has_failed(void) { return failure.has_failed; }

static bool fails(const char *call)
{
    if (failure.left == 0 || strcmp(failure.call, call) || --failure.left)
        return false;
    return failure.has_failed = true;
}
#define FAIL_ON_DEMAND()    \
    if (fails(__func__))    \
    return failure.code

unsigned standin_nvrtc_compiled(void) { return atomic_load_explicit(&n_compiled, memory_order_relaxed); }

const char *nvrtcGetErrorString(nvrtcResult result)
{
    static const char *const texts[] = {"NVRTC_SUCCESS",
                                        "NVRTC_ERROR_OUT_OF_MEMORY",
                                        "NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
                                        "NVRTC_ERROR_INVALID_INPUT",
                                        "NVRTC_ERROR_INVALID_PROGRAM",
                                        "NVRTC_ERROR_INVALID_OPTION",
                                        "NVRTC_ERROR_COMPILATION",
                                        "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
                                        "NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION",
                                        "NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION",
                                        "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID",
                                        "NVRTC_ERROR_INTERNAL_ERROR"};
    return (unsigned)result < sizeof texts / sizeof *texts ? texts[result] : "NVRTC_ERROR unknown";
}

nvrtcResult nvrtcVersion(int *major, int *minor)
{
    FAIL_ON_DEMAND();
    const char *text = getenv("TGRAPH_STANDIN_NVRTC_VERSION");
    if (!major || !minor)
        return NVRTC_ERROR_INVALID_INPUT;
    if (!text || sscanf(text, "%d.%d", major, minor) != 2) {
        *major = 13;
        *minor = 0;
    }
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetNumSupportedArchs(int *n)
{
    if (!n)
        return NVRTC_ERROR_INVALID_INPUT;
    *n = N_ARCHS;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetSupportedArchs(int *archs_p)
{
    if (!archs_p)
        return NVRTC_ERROR_INVALID_INPUT;
    memcpy(archs_p, archs, sizeof archs);
    return NVRTC_SUCCESS;
}

/* ---- Programs -----------------------------------------------------------------------------*/

static void program_free(nvrtcProgram p)
{
    free(p->source);
    free(p->name);
    names_fini(&p->headers);
    names_fini(&p->include_names);
    names_fini(&p->expressions);
    names_fini(&p->kernels);
    names_fini(&p->lowered);
    free(p->log);
    free(p->image);
    free(p);
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int n_headers,
                               const char *const *headers, const char *const *include_names)
{
    FAIL_ON_DEMAND();
    if (!program || !source || n_headers < 0 || (n_headers > 0 && (!headers || !include_names)))
        return NVRTC_ERROR_INVALID_INPUT;
    nvrtcProgram p = calloc(1, sizeof *p);
    if (!p)
        return NVRTC_ERROR_OUT_OF_MEMORY;
    p->source = strdup(source);
    p->name = strdup(name && *name ? name : "default_program");
    bool is_good = p->source && p->name;
    for (int i = 0; is_good && i < n_headers; i++)
        is_good = names_add(&p->headers, headers[i], strlen(headers[i])) &&
                  names_add(&p->include_names, include_names[i], strlen(include_names[i]));
    if (!is_good) {
        program_free(p);
        return NVRTC_ERROR_OUT_OF_MEMORY;
    }
    *program = p;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram *program)
{
    if (!program || !*program)
        return NVRTC_ERROR_INVALID_PROGRAM;
    program_free(*program);
    *program = NULL;
    FAIL_ON_DEMAND(); /* after its effect */
    return NVRTC_SUCCESS;
}

/* ---- Options ------------------------------------------------------------------------------*/

/* The value of an option in one of the forms "-DX", "--long=X"; NULL: another option. */
static const char *value_of(const char *option, const char *brief, const char *full)
{
    if (brief && strncmp(option, brief, strlen(brief)) == 0) {
        option += strlen(brief);
        return *option == '=' ? option + 1 : option;
    }
    size_t n = strlen(full);
    return strncmp(option, full, n) == 0 && option[n] == '=' ? option + n + 1 : NULL;
}

/* Options that make no difference on a CPU. */
static bool is_ignored(const char *option)
{
    static const char *const prefixes[] = {"-std=",
                                           "--std=",
                                           "-lineinfo",
                                           "--generate-line-info",
                                           "-G",
                                           "--device-debug",
                                           "-dopt",
                                           "--dopt",
                                           "--fmad=",
                                           "-fmad=",
                                           "--use_fast_math",
                                           "-use_fast_math",
                                           "--ftz=",
                                           "-ftz=",
                                           "--prec-sqrt=",
                                           "--prec-div=",
                                           "--maxrregcount=",
                                           "-maxrregcount=",
                                           "-w",
                                           "--disable-warnings",
                                           "-default-device",
                                           "--device-as-default-execution-space",
                                           "-restrict",
                                           "--restrict",
                                           "--extra-device-vectorization",
                                           "-rdc=",
                                           "--relocatable-device-code=",
                                           "-dlto",
                                           "--dlink-time-opt",
                                           "--split-compile=",
                                           "--minimal",
                                           "-no-cache",
                                           "--no-cache",
                                           "--diag-suppress=",
                                           "-diag-suppress=",
                                           "--Ofast-compile="};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool take_arch(nvrtcProgram p, const char *value, struct names *options)
{
    char define[64];
    int arch = 0, used = 0;
    p->is_virtual = strncmp(value, "compute_", 8) == 0;
    if (sscanf(value, p->is_virtual ? "compute_%d%n" : "sm_%d%n", &arch, &used) != 1 ||
        (value[used] && strcmp(value + used, "a") != 0 && strcmp(value + used, "f") != 0))
        return false;
    for (int i = 0; i < N_ARCHS; i++)
        if (archs[i] == arch) {
            int n = snprintf(define, sizeof define, "-D__CUDA_ARCH__=%d", 10 * arch);
            return names_add(options, define, (size_t)n);
        }
    return false;
}

static bool add_option(struct names *options, const char *option, const char *value)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "%s%s", option, value);
    return n >= 0 && (size_t)n < sizeof text && names_add(options, text, (size_t)n);
}

static bool take_option(nvrtcProgram p, const char *option, struct names *options)
{
    const char *value;
    if ((value = value_of(option, "-arch", "--gpu-architecture")))
        return take_arch(p, value, options);
    if ((value = value_of(option, "-D", "--define-macro")))
        return add_option(options, "-D", value);
    if ((value = value_of(option, "-U", "--undefine-macro")))
        return add_option(options, "-U", value);
    if ((value = value_of(option, "-I", "--include-path")))
        return add_option(options, "-I", value);
    return is_ignored(option);
}

static nvrtcResult take_options(nvrtcProgram p, int n, const char *const *given, struct names *options)
{
    static const char *const fixed[] = {"-D__CUDACC__=1", "-D__CUDACC_RTC__=1", "-D__CUDACC_VER_MAJOR__=13",
                                        "-D__CUDACC_VER_MINOR__=0"};
    bool has_arch = false;
    for (size_t i = 0; i < p->include_names.n; i++) /* a thread stands for a warp */
        if (strcmp(p->include_names.text[i], "tgraph_resident.h") == 0 && !names_add(options, "-DTG_LANES=1", 12))
            return NVRTC_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!names_add(options, fixed[i], strlen(fixed[i])))
            return NVRTC_ERROR_OUT_OF_MEMORY;
    for (int i = 0; i < n; i++) {
        if (!take_option(p, given[i], options)) {
            char text[512];
            snprintf(text, sizeof text, "nvrtc: error: unrecognized option %s found\n", given[i]);
            p->log = strdup(text);
            return NVRTC_ERROR_INVALID_OPTION;
        }
        has_arch |= value_of(given[i], "-arch", "--gpu-architecture") != NULL;
    }
    if (!has_arch && !take_arch(p, "compute_75", options))
        return NVRTC_ERROR_OUT_OF_MEMORY;
    return NVRTC_SUCCESS;
}

/* ---- Compilation --------------------------------------------------------------------------*/

nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *given)
{
    FAIL_ON_DEMAND();
    struct names options = {0};
    const char *fail = getenv("TGRAPH_STANDIN_NVRTC_FAIL");
    if (!p)
        return NVRTC_ERROR_INVALID_PROGRAM;
    if (n < 0 || (n > 0 && !given))
        return NVRTC_ERROR_INVALID_INPUT;
    if (p->is_compiled)
        return NVRTC_ERROR_COMPILATION;
    p->is_compiled = true;
    atomic_fetch_add_explicit(&n_compiled, 1, memory_order_relaxed);
    if (fail && *fail)
        return (nvrtcResult)atoi(fail);
    for (size_t i = 0; i < p->expressions.n; i++)
        if (strncmp(p->expressions.text[i], "tgk_resident_run", 16) == 0 || strncmp(p->expressions.text[i], "tgk_service_", 12) == 0)
            p->driver_kernel = p->expressions.text[i];
        else if (!names_add(&p->kernels, p->expressions.text[i], strlen(p->expressions.text[i])))
            return NVRTC_ERROR_OUT_OF_MEMORY;
    nvrtcResult rc = take_options(p, n, given, &options);
    if (rc == NVRTC_SUCCESS)
        rc = program_compile(p, &options);
    names_fini(&options);
    return rc;
}

/* With the final NUL, also for a CUBIN: images of the stand-in are text. */
static nvrtcResult text_size(nvrtcProgram p, const char *text, size_t *size)
{
    if (!p)
        return NVRTC_ERROR_INVALID_PROGRAM;
    if (!size || !p->is_compiled)
        return NVRTC_ERROR_INVALID_INPUT;
    *size = text ? strlen(text) + 1 : 0;
    return NVRTC_SUCCESS;
}

static nvrtcResult text_get(nvrtcProgram p, const char *text, char *to)
{
    size_t size;
    nvrtcResult rc = text_size(p, text, &size);
    if (rc == NVRTC_SUCCESS && !to)
        rc = NVRTC_ERROR_INVALID_INPUT;
    if (rc == NVRTC_SUCCESS && text)
        memcpy(to, text, size);
    return rc;
}

nvrtcResult nvrtcGetPTXSize(nvrtcProgram p, size_t *size)
{
    FAIL_ON_DEMAND();
    if (p && p->is_compiled && !p->image)
        return NVRTC_ERROR_INVALID_PROGRAM;
    return text_size(p, p ? p->image : NULL, size);
}
nvrtcResult nvrtcGetPTX(nvrtcProgram p, char *ptx)
{
    FAIL_ON_DEMAND();
    if (p && p->is_compiled && !p->image)
        return NVRTC_ERROR_INVALID_PROGRAM;
    return text_get(p, p ? p->image : NULL, ptx);
}

static const char *cubin_of(nvrtcProgram p) { return p && !p->is_virtual ? p->image : NULL; }
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *size)
{
    FAIL_ON_DEMAND();
    if (p && p->is_compiled && !p->image)
        return NVRTC_ERROR_INVALID_PROGRAM;
    return text_size(p, cubin_of(p), size);
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *cubin)
{
    FAIL_ON_DEMAND();
    if (p && p->is_compiled && !p->image)
        return NVRTC_ERROR_INVALID_PROGRAM;
    return text_get(p, cubin_of(p), cubin);
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *size)
{
    FAIL_ON_DEMAND();
    return text_size(p, p && p->log ? p->log : "", size);
}
nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *log)
{
    FAIL_ON_DEMAND();
    return text_get(p, p && p->log ? p->log : "", log);
}

/* ---- Names --------------------------------------------------------------------------------*/

nvrtcResult nvrtcAddNameExpression(nvrtcProgram p, const char *expression)
{
    FAIL_ON_DEMAND();
    if (!p)
        return NVRTC_ERROR_INVALID_PROGRAM;
    if (!expression)
        return NVRTC_ERROR_INVALID_INPUT;
    if (p->is_compiled)
        return NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION;
    return names_add(&p->expressions, expression, strlen(expression)) ? NVRTC_SUCCESS
                                                                      : NVRTC_ERROR_OUT_OF_MEMORY;
}

nvrtcResult nvrtcGetLoweredName(nvrtcProgram p, const char *expression, const char **lowered_name)
{
    FAIL_ON_DEMAND();
    if (!p)
        return NVRTC_ERROR_INVALID_PROGRAM;
    if (!expression || !lowered_name)
        return NVRTC_ERROR_INVALID_INPUT;
    if (!p->image)
        return NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION;
    if (p->driver_kernel && strcmp(expression, p->driver_kernel) == 0) {
        *lowered_name = p->driver_kernel;
        return NVRTC_SUCCESS;
    }
    for (size_t i = 0; i < p->expressions.n && i < p->lowered.n; i++)
        if (strcmp(p->expressions.text[i], expression) == 0) {
            *lowered_name = p->lowered.text[i];
            return NVRTC_SUCCESS;
        }
    return NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID;
}
